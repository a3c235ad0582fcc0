"""The identity emulator's configuration: one tenant, its managed identities and its applications."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from local.emulators.identity.tokens import DEFAULT_TENANT


class ManagedIdentity(BaseModel):
    """An identity of the App Service endpoint; the first one also serves requests without a client id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str
    object_id: str | None = None


class Application(BaseModel):
    """An app registration that may sign in with a client secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str
    client_secret: SecretStr


class IdentityConfig(BaseModel):
    """The emulator's configuration file. `resources` left empty means that any resource may be asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signing_key: SecretStr = Field(min_length=32, description="shared with the Dataverse emulator")
    identity_header: SecretStr = Field(description="what IDENTITY_HEADER holds in the worker's environment")
    tenant_id: str = str(DEFAULT_TENANT)
    lifetime_seconds: Annotated[int, Field(gt=0)] = 3600
    managed_identities: tuple[ManagedIdentity, ...] = ()
    applications: tuple[Application, ...] = ()
    resources: tuple[str, ...] = ()
