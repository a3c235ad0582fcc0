"""The messages on the queues: CloudEvents 1.0 in JSON.

| type | from | data |
|---|---|---|
| `energy.<entity>.upserted` | the CMMS | `UpsertedData` |
| `energy.<entity>.deleted` | the CMMS | `DeletedData` |
| `energy.<entity>.renamed` | the CMMS | `RenamedData` |
| `sync.<entity>.dirty` | webhook, reconcile, operator | `DirtyData` |

What routing needs (attempts, first enqueue time, history) travels in extension attributes of the body, because the
Functions host can misplace a batch's metadata. No attribute has the name of a piece of Service Bus metadata, which
the host would overwrite with it; `subject` is the one exception, so nothing reads the message's own subject.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast, override
from uuid import UUID, uuid4

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from shared.domain import jsontext
from shared.domain.model import CmmsRecord, Side, Version, is_before, without
from shared.domain.schema import values
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage

CONTENT_TYPE: Final = "application/cloudevents+json"
_TYPE: Final = re.compile(r"(?:energy\.(\w+)\.(upserted|deleted|renamed)|sync\.(\w+)\.(dirty))\Z")

type Kind = Literal["upserted", "deleted", "renamed", "dirty"]
type Operation = Literal["create", "update", "delete", "resync", "recreate"]
# Strict: written out as a whole number, `1e999999999` takes minutes and all memory.
Whole = Annotated[int, Field(strict=True, ge=0)]
type Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


def _instant(raw: object) -> object:
    # Text only: a bare number could be seconds or milliseconds.
    return raw if isinstance(raw, datetime) else values.parse_instant(raw)


type Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]


def _identity(raw: object) -> object:
    # A whole number is one text; 17.0 and 1.7e1 are several, and which of them the CMMS means is not ours to say.
    return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw


type RecordId = Annotated[Text, BeforeValidator(_identity, json_schema_input_type=Text | int)]


def _said(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not null: one that is counts as absent."""
    return {name: value for name, value in members.items() if value is not None}


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Drop members that are null. Null clears only the record's fields, one level down."""
        return _said(data)


class _Versioned(_Data):
    # A message of the CMMS tells what is; what an operator orders or chooses, only a dirty one says.
    operation: ClassVar[Operation | None] = None
    prefer: ClassVar[Side | None] = None
    prefer_fields: ClassVar[Mapping[str, Side]] = MappingProxyType({})

    id: RecordId | None = Field(
        default=None,
        description="the CMMS's own id of the record, which never changes and is never given to another; a whole number"
        " counts as its text",
    )
    version: Instant | None = Field(
        default=None, description="the record's version: the instant of this change, rising for each record"
    )
    sequence: Whole = Field(default=0, le=2**63 - 1, description="the outbox's sequence; tells equal versions apart")
    origin: Literal["person", "integration"] = Field(
        default="person", description="who made the change, for people who read the message; steers nothing"
    )

    def as_version(self, time: datetime | None) -> Version | None:
        """The version, by the event's own time where the data has none."""
        at = self.version or time
        return Version(at.astimezone(UTC), self.sequence) if at else None

    def is_ahead_of(self, shown: CmmsRecord) -> bool:
        """Whether the CMMS announced more than it shows, by its own versions: an event's time is any sender's clock."""
        return not shown.exists or is_before(shown.changed_at, self.version)


class UpsertedData(_Versioned):
    """A CMMS record was created or changed. A field that is absent is not said; null is cleared."""

    key: Text | None = Field(default=None, description="the business key; may stand among the fields instead")
    fields: dict[str, Any] = Field(
        default_factory=dict,
        description="values by the document's or the CMMS's own names: decimals as text, dates as YYYY-MM-DD",
    )

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Accept fields that stand beside the key instead of under `fields`."""
        beside = without(data, cls.model_fields)
        return {"fields": beside, **_said(data)}


class DeletedData(_Versioned):
    """A CMMS record was deleted."""

    fields: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    key: Text

    @override
    def is_ahead_of(self, shown: CmmsRecord) -> bool:
        """Whether the record lives, and nothing tells that it was made again since."""
        undated = None in {shown.changed_at, self.version}
        return shown.living and (undated or is_before(shown.changed_at, self.version))


class RenamedData(UpsertedData):
    """A CMMS record got another key; `key` is the new one."""

    key: Text
    old_key: Text


class DirtyData(_Data):
    """A record may differ: look at it. Names the record by one or more of its three names."""

    record_id: UUID | None = Field(default=None, description="the Dynamics row's id")
    cmms_id: RecordId | None = Field(default=None, description="the CMMS's own id of the record")
    key: Text | None = Field(default=None, description="the business key")
    operation: Operation = Field(
        default="resync",
        description="what was announced; resync: only look; recreate: an operator's order to create the row again if it"
        " is gone from Dynamics",
    )
    prefer: Side | None = Field(
        default=None,
        description="an operator's choice of the side whose values count where a field meets for the first time and"
        " both sides hold different values; without it the field's on_conflict decides",
    )
    prefer_fields: dict[str, Side] = Field(
        default_factory=dict, description="the same by the field's own name, before `prefer`"
    )
    reason: str = Field(default="", max_length=1024, description="why, for people")

    def as_version(self, _time: datetime | None) -> Version | None:
        """None: only the CMMS's messages announce a version."""
        return None

    def is_ahead_of(self, _shown: CmmsRecord) -> bool:
        """False: nothing is announced of the CMMS."""
        return False

    @model_validator(mode="after")
    def _named(self) -> Self:
        if {self.record_id, self.cmms_id, self.key} == {None}:
            raise ValueError("names no record: record_id, cmms_id or key is needed")
        return self


type Payload = UpsertedData | DeletedData | RenamedData | DirtyData
DATA: Final[dict[str, type[Payload]]] = {
    "upserted": UpsertedData,
    "deleted": DeletedData,
    "renamed": RenamedData,
    "dirty": DirtyData,
}


REQUIRED: Final = ("specversion", "id")
"""What a received message must say itself although the model has a default for those that we make."""


class Event(BaseModel):
    """A CloudEvent. Unknown extension attributes are kept, so that retry copies carry them on."""

    model_config = ConfigDict(
        frozen=True, extra="allow", json_schema_extra={"required": [*REQUIRED, "source", "type", "data"]}
    )

    specversion: Literal["1.0"] = "1.0"
    id: Text = Field(default_factory=lambda: str(uuid4()))
    source: Text
    type: Text
    subject: str | None = None
    time: Instant | None = None
    datacontenttype: str = "application/json"
    traceparent: str | None = Field(default=None, description="W3C trace context")
    attempt: Whole = Field(default=0, le=10_000, description="failed attempts of this message so far")
    deferrals: Whole = Field(default=0, le=1_000_000, description="waits for a whole target so far")
    firstenqueued: Instant | None = Field(default=None, description="when the first copy was sent")
    history: str | None = Field(
        default=None, max_length=50_000, description="JSON list of earlier failures, oldest first"
    )
    data: dict[str, Any]

    @property
    def entity(self) -> str:
        """The entity in the type, such as `asset`."""
        return _parts(self.type)[0]

    @property
    def kind(self) -> Kind | None:
        """What happened, by the type; None for a type that is not of the contract."""
        return _parts(self.type)[1]

    def payload(self, entity: EntityMapping) -> Payload:
        """Validate the data by the type.

        Returns:
            The data; an upserted record's `fields` are by the fields' own names, without those that are not mapped.

        Raises:
            InvalidMessage: Names the member at fault; never shows its value.
        """
        kind = self.kind
        if kind is None or self.entity != entity.name:
            raise InvalidMessage(
                f"The message's type {self.type[:80]!r} is not one that this queue takes: send energy.{entity.name}."
                f"upserted, .deleted or .renamed, or sync.{entity.name}.dirty."
            )
        try:
            data = DATA[kind].model_validate(self.data)
        except ValidationError as error:
            raise InvalidMessage(_problems("The message's data", error)) from None
        if isinstance(data, UpsertedData):
            return data.model_copy(update={"fields": _by_own_name(entity, data.fields)})
        return data

    def to_json(self) -> str:
        """The structured form that goes onto a queue. Absent attributes are left out."""
        # Not by pydantic, which would turn the data's decimals into text.
        return jsontext.dumps(
            {
                name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
                for name, value in _said(vars(self) | (self.model_extra or {})).items()
            }
        )


def _parts(message_type: str) -> tuple[str, Kind | None]:
    """The entity and what happened, such as `("asset", "upserted")`; `("", None)` for a type not of the contract."""
    found = _TYPE.match(message_type)
    if found is None:
        return "", None
    entity, kind = filter(None, found.groups())
    return entity, cast("Kind", kind)


def parse_event(body: str | bytes) -> Event:
    """Read a message's body.

    Raises:
        InvalidMessage: Not UTF-8, not JSON, or not a CloudEvent; says which.
    """
    raw = parse_json(body, "The message")
    if not isinstance(raw, dict):
        raise InvalidMessage("The message is JSON but not an object: send a CloudEvent in its JSON form.")
    # An attribute that is null is one that is not set, says the JSON format of CloudEvents in its section 2.2:
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    attributes = _said(raw)
    if missing := [name for name in REQUIRED if name not in attributes]:
        raise InvalidMessage(f"The message is no CloudEvent: {' and '.join(missing)} must be said.")
    try:
        return Event.model_validate(attributes)
    except ValidationError as error:
        raise InvalidMessage(_problems("The message", error)) from None


def parse_json(body: str | bytes, what: str) -> Any:
    """Read JSON with decimals kept exact; `what` begins the sentence that refuses it.

    Raises:
        InvalidMessage: See `jsontext.loads`.
    """
    try:
        return jsontext.loads(body)
    except jsontext.JsonError as error:
        raise InvalidMessage(f"{what} {error}.") from None


def _by_own_name(entity: EntityMapping, fields: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, str] = {}
    for name in filter(entity.names.__contains__, fields):
        other = said.setdefault(entity.names[name], name)
        if fields[other] != fields[name]:
            raise InvalidMessage(
                f"The message's data says two values of one field: {other} and {name} are both names of"
                f" {entity.names[name]}. Send one of them."
            )
    return {field: fields[name] for field, name in said.items()}


def _problems(what: str, error: ValidationError) -> str:
    found = [
        f"{'.'.join(str(part)[:60] for part in e['loc']) or 'it'}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors(include_input=False, include_url=False)
    ]
    return f"{what} is not of the contract: {'; '.join(found[:5])}."
