"""The emulator's configuration file."""

from dataclasses import replace
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.costs import Costs
from local.emulators.dataverse.environment import Organization
from local.emulators.dataverse.limits import Limits
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.reference_tables import reference_tables
from local.emulators.dataverse.rows import Collation
from local.emulators.dataverse.schema import Write
from local.emulators.dataverse.tables import customer_asset, sales_order
from local.emulators.dataverse.users import SystemUser
from local.emulators.dataverse.webhook import AuthType, Webhook


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OrganizationConfig(_Section):
    """The environment's identity."""

    id: UUID = Organization().id
    name: str = Organization().name
    host: str = Organization().host


class UserConfig(_Section):
    """A user that may call: `application_id` is the client id in its tokens."""

    name: str
    application_id: str
    id: UUID | None = None
    denied: frozenset[str] = frozenset()


class WebhookConfig(_Section):
    """A registered webhook; for a WebhookKey `auth` is `{"code": value}`."""

    url: str
    table: str
    name: str = "webhook"
    messages: tuple[Message, ...] = tuple(Message)
    auth_type: AuthType = AuthType.HTTP_HEADER
    auth: dict[str, SecretStr] = Field(default_factory=dict)
    filtering_attributes: tuple[str, ...] = ()
    pre_image: tuple[str, ...] | None = None
    post_image: tuple[str, ...] | None = None

    def webhook(self) -> Webhook:
        """Make the registration."""
        return Webhook(
            url=self.url,
            table=self.table,
            messages=frozenset(self.messages),
            auth_type=self.auth_type,
            auth={name: value.get_secret_value() for name, value in self.auth.items()},
            filtering_attributes=frozenset(self.filtering_attributes),
            pre_image=self.pre_image,
            post_image=self.post_image,
            name=self.name,
        )


class CostsConfig(_Section):
    """Seconds that requests and rows take."""

    request: float = 0.0
    read_row: float = 0.0
    create_row: float = 0.0
    update_row: float = 0.0
    delete_row: float = 0.0


class LimitsConfig(_Section):
    """The service protection limits; null switches one off."""

    requests: int | None = 6000
    execution_seconds: float | None = 1200.0
    concurrency: int | None = 52
    window_seconds: float = 300.0


class DataverseConfig(_Section):
    """The whole file. State lives in memory, unless the command line names a file for it."""

    signing_key: Annotated[SecretStr, Field(min_length=32, description="shared with the token issuer")]
    audience: Annotated[str, Field(min_length=1, description="the resource URL that tokens are made for")]
    organization: OrganizationConfig = OrganizationConfig()
    users: tuple[UserConfig, ...] = ()
    webhooks: tuple[WebhookConfig, ...] = ()
    collation: Collation = Collation.ACCENT_BLIND
    order_total_on_create: Literal["allowed", "ignored", "refused"] = "allowed"
    order_state_on_create: bool = True
    provisioned: Annotated[bool, Field(description="false: without keys, tracking, cmms_operation")] = True
    key_index_seconds: float = 0.5
    costs: CostsConfig = CostsConfig()
    limits: LimitsConfig = LimitsConfig()
    dop_hint: int | None = 8

    def dataverse(self) -> Dataverse:
        """Make the organisation."""
        order = sales_order(
            total_on_create=Write(self.order_total_on_create), state_on_create=self.order_state_on_create
        )
        tables = (customer_asset(), order, *reference_tables())
        if not self.provisioned:
            for table in tables:
                table.keys.clear()
                table.columns.pop("cmms_operation", None)
                table.change_tracking = False
        users = [SystemUser.of(one.name, one.application_id, one.id) for one in self.users]
        return Dataverse(
            organization=Organization(**self.organization.model_dump()),
            tables=tables,
            users=[replace(user, denied=one.denied) for user, one in zip(users, self.users, strict=True)],
            key_index_seconds=self.key_index_seconds,
            collation=self.collation,
            costs=Costs(**self.costs.model_dump()),
            limits=Limits(**self.limits.model_dump()),
            dop_hint=self.dop_hint,
        )
