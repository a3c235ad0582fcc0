"""What check and provision need of the Dataverse platform: definitions, registrations, users."""

from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

type KeyState = Literal["Pending", "InProgress", "Active", "Failed"]


@dataclass(frozen=True)
class ChoiceOption:
    """One value of a choice; `state` is set for the options of a status column."""

    value: int
    state: int | None = None


@dataclass(frozen=True)
class ColumnInfo:
    """A column's definition, in the words of AttributeMetadata; lengths in characters, precision in decimals.

    `kind` is String, Memo, Money, Decimal, DateTime, Picklist, State, Status and so on. `behavior` is a date's:
    UserLocal, DateOnly or TimeZoneIndependent. `made` tells that provision made it. `secured` tells that only users
    with a column security profile may use it; `id` is its MetadataId, by which permissions name it.
    """

    name: str
    kind: str
    create: bool
    update: bool
    max_length: int | None = None
    precision: int | None = None
    behavior: str | None = None
    made: bool = False
    secured: bool = False
    id: UUID | None = None


@dataclass(frozen=True)
class ColumnAccess:
    """What a user may do with one secured column."""

    read: bool
    update: bool
    create: bool


@dataclass(frozen=True)
class KeyInfo:
    """An alternate key; only an Active one protects from duplicates."""

    name: str
    columns: tuple[str, ...]
    state: str
    made: bool = False


@dataclass(frozen=True)
class Relationship:
    """What a lookup column may refer to, and the navigation property that binds it there."""

    column: str
    table: str
    bind: str


@dataclass(frozen=True)
class TableInfo:
    """A table's definition, as far as the product depends on it. `privileges` maps a kind (`Create`) to its name."""

    name: str
    set_name: str
    id_column: str
    change_tracking: bool
    optimistic_concurrency: bool
    columns: dict[str, ColumnInfo]
    keys: tuple[KeyInfo, ...]
    privileges: dict[str, str]
    options: dict[str, tuple[ChoiceOption, ...]] = field(default_factory=dict)
    messages: frozenset[str] = frozenset()
    relationships: tuple[Relationship, ...] = ()


@dataclass(frozen=True)
class Image:
    """A step's image: `kind` 0 before, 1 after, 2 both."""

    kind: int
    columns: frozenset[str]


@dataclass(frozen=True)
class Step:
    """A registered step; `columns` empty means that every update runs it. `id` None: not yet registered."""

    table: str
    message: str
    columns: frozenset[str] = frozenset()
    images: tuple[Image, ...] = ()
    asynchronous: bool = True
    enabled: bool = True
    post_operation: bool = True
    id: UUID | None = None
    made: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A webhook's service endpoint; its secret cannot be read back, so `fingerprint` tells which one it carries."""

    name: str
    url: str
    auth_type: int
    fingerprint: str | None
    id: UUID
    made: bool = False


@dataclass(frozen=True)
class User:
    """A systemuser."""

    id: UUID
    name: str
    application_id: str | None
    disabled: bool


@dataclass(frozen=True)
class WhoAmI:
    """Who we are to Dynamics."""

    user: UUID
    organization: UUID


class Platform(Protocol):
    """The administrator's side of Dataverse. Every call raises SyncError when it fails."""

    async def who_am_i(self) -> WhoAmI:
        """The identity that is signed in, and its organization."""

    async def table(self, name: str, columns: frozenset[str]) -> TableInfo | None:
        """A table with those of the columns that exist; None if there is no such table."""

    async def keys(self, table: str) -> tuple[KeyInfo, ...]:
        """The alternate keys of a table."""

    async def user(self, *, user_id: UUID | None = None, application_id: str | None = None) -> User | None:
        """A user by id or by the client id of its identity."""

    async def privileges(self, user: UUID) -> dict[str, str]:
        """The privileges that a user holds: lower-case name to depth (Basic, Local, Deep, Global)."""

    async def column_access(self, user: UUID) -> dict[UUID, ColumnAccess]:
        """What a user may do with secured columns, by the columns' ids; a column that is missing is closed to it."""

    async def endpoint(self, name: str) -> Endpoint | None:
        """The webhook endpoint of that name."""

    async def steps(self, endpoint: UUID) -> list[Step]:
        """The steps that call an endpoint."""

    async def create_column(
        self, table: str, column: str, kind: str, *, length: int | None, scale: int | None, label: str
    ) -> None:
        """Create a custom column: String, Money or Decimal, DateTime or DateOnly, Boolean or Integer."""

    async def create_key(self, table: str, name: str, columns: tuple[str, ...]) -> None:
        """Create an alternate key; its index is built afterwards."""

    async def reactivate_key(self, table: str, name: str) -> None:
        """Build the index of a failed key again."""

    async def enable_change_tracking(self, table: str) -> None:
        """Switch change tracking on, and publish the table."""

    async def create_endpoint(self, name: str, url: str, *, header: str, secret: str, fingerprint: str) -> UUID:
        """Register a webhook that authenticates by a header."""

    async def update_endpoint(self, endpoint: UUID, url: str, *, header: str, secret: str, fingerprint: str) -> None:
        """Give an endpoint another address or secret."""

    async def create_step(self, endpoint: UUID, step: Step) -> None:
        """Register an asynchronous post-operation step with its images."""

    async def update_step(self, step: Step) -> None:
        """Make a registered step as given: mode, columns, images, enabled."""

    async def delete_column(self, table: str, column: str) -> None:
        """Delete a column with what it holds."""

    async def delete_key(self, table: str, name: str) -> None:
        """Delete an alternate key."""

    async def delete_step(self, step: UUID) -> None:
        """Delete a step with its images."""

    async def delete_endpoint(self, endpoint: UUID) -> None:
        """Delete an endpoint that no step uses."""
