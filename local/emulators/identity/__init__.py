"""Emulated managed identity and Entra token endpoint; the Dataverse emulator accepts their tokens."""

from local.emulators.identity.app import create_app
from local.emulators.identity.config import Application, IdentityConfig, ManagedIdentity
from local.emulators.identity.tokens import mint_token

__all__ = ["Application", "IdentityConfig", "ManagedIdentity", "create_app", "mint_token"]
__version__ = "1.0.0"
