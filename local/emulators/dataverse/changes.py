"""What happened: the record that the change log keeps and that events are made of."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from local.emulators.dataverse.rows import Row
from local.emulators.dataverse.users import SystemUser


class Message(StrEnum):
    """The events of a row; an upsert raises Create or Update."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf, and under which request, a change is made.

    `tag` is the request's `?tag=`; `skip_async` is MSCRM.BypassBusinessLogicExecution: CustomAsync;
    `numbers_as_text` is IEEE754Compatible=true of the request's Content-Type.
    """

    user: SystemUser
    correlation_id: UUID
    tag: str | None = None
    skip_async: bool = False
    numbers_as_text: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change; `version` orders the log; `columns` are those that the request named."""

    version: int
    message: Message
    table: str
    row_id: UUID
    before: Row | None
    after: Row | None
    columns: frozenset[str]
    caller: Caller
    at: datetime
    operation_id: UUID = field(kw_only=True)
