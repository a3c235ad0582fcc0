"""An emulated Dataverse environment: Web API, tables with their rules, native webhooks."""

from local.emulators.dataverse.costs import Costs
from local.emulators.dataverse.environment import Organization
from local.emulators.dataverse.faults import Effect, Fault
from local.emulators.dataverse.limits import Limits
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.transport import InProcessTransport
from local.emulators.dataverse.users import SystemUser
from local.emulators.dataverse.webhook import AuthType, Webhook
from local.emulators.dataverse.webhooks import WebhookSender
from local.emulators.dataverse.wire.app import create_app

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
__version__ = "1.0.0"
