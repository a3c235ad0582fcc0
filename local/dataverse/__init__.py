"""An emulated Dataverse environment: Web API, tables with their rules, native webhooks."""

from local.dataverse.costs import Costs
from local.dataverse.environment import Organization
from local.dataverse.faults import Effect, Fault
from local.dataverse.limits import Limits
from local.dataverse.organization import Dataverse
from local.dataverse.transport import InProcessTransport
from local.dataverse.users import SystemUser
from local.dataverse.webhook import AuthType, Webhook
from local.dataverse.webhooks import WebhookSender
from local.dataverse.wire.app import create_app

__all__ = [
    "AuthType",
    "Costs",
    "Dataverse",
    "Effect",
    "Fault",
    "InProcessTransport",
    "Limits",
    "Organization",
    "SystemUser",
    "Webhook",
    "WebhookSender",
    "create_app",
]
