"""An emulated Dataverse environment: Web API, tables with their rules, native webhooks."""

from local.dataverse.organization import Dataverse, Organization
from local.dataverse.users import SystemUser
from local.dataverse.webhooks import AuthType, Webhook, WebhookSender
from local.dataverse.wire.app import create_app

__all__ = ["AuthType", "Dataverse", "Organization", "SystemUser", "Webhook", "WebhookSender", "create_app"]
