"""What Dynamics posts to us: who sent it, and which record it names.

Two forms are read. The customer's document signs the raw body (`X-MS-SIGNATURE`, hex HMAC-SHA256) and sends
`{"eventType", "data"}`. Dataverse itself sends a RemoteExecutionContext and authenticates by a static key, in a
header (HttpHeader) or as `?code=` (WebhookKey). See
https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks.
"""

import hashlib
import hmac
from collections.abc import Mapping as Map
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from shared.domain.messages.events import DirtyData, Operation, parse_json
from shared.domain.schema.mapping import EntityMapping, Mapping
from shared.domain.schema.values import parse_instant, shape
from shared.errors import InvalidMessage, KeyNotUsable

SIGNATURE_HEADER: Final = "x-ms-signature"
_NATIVE: Final[Map[str, Operation]] = {"Create": "create", "Update": "update", "Delete": "delete"}
_DOCUMENT: Final[Map[str, Operation]] = {"created": "create", "updated": "update", "deleted": "delete"}


@dataclass(frozen=True)
class Notification:
    """A record that Dynamics says has changed.

    `message_id` identifies the operation for duplicate detection; None where the sender gave nothing that does.
    """

    entity: EntityMapping
    data: DirtyData
    organization_id: UUID | None = None
    message_id: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True)
class Ignored:
    """A well-formed notification that is not followed; `what` is safe to log.

    `mapped` tells an operation of a mapped table, which somebody registered by hand, from a table that is not mapped.
    """

    what: str
    organization_id: UUID | None = None
    mapped: bool = False


def authentic(
    secrets: tuple[str, ...], body: bytes, headers: Map[str, str], query: Map[str, str], key_header: str
) -> bool:
    """Whether the sender knows a live secret: by signature, header key or `?code=`. In constant time.

    A signature, once sent, must be right: a key does not make up for a wrong one.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    signature = lower.get(SIGNATURE_HEADER)
    known = False
    for secret in secrets:
        if signature is not None:
            expected = hmac.new(secret.encode("utf-8", "surrogatepass"), body, hashlib.sha256).hexdigest()
            known |= _equal(expected, signature.strip().lower())
        else:
            known |= _equal(secret, lower.get(key_header.lower(), ""))
            known |= _equal(secret, query.get("code", ""))
    return known


def _equal(expected: str, given: str) -> bool:
    # Bytes, because compare_digest refuses non-ASCII text, which anybody may send.
    return hmac.compare_digest(expected.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass"))


def parse_notification(body: bytes, mapping: Mapping) -> Notification | Ignored:
    """Read either form.

    Raises:
        InvalidMessage: Not JSON, not UTF-8, or neither form; names the member at fault.
    """
    raw = parse_json(body, "The body")
    if not isinstance(raw, dict):
        raise InvalidMessage("The body is JSON but not an object.")
    if "MessageName" in raw:
        return _native(raw, mapping)
    if "eventType" in raw:
        return _document(raw, mapping)
    raise InvalidMessage("The body has neither eventType (the document's form) nor MessageName (Dataverse's).")


def _native(raw: dict[str, Any], mapping: Mapping) -> Notification | Ignored:
    message = _text(raw, "MessageName")
    table = _text(raw, "PrimaryEntityName")
    organization_id = _optional_guid(raw, "OrganizationId")
    entity = mapping.tables.get(table)
    operation = _NATIVE.get(message)
    if entity is None or operation is None:
        return Ignored(f"{message[:80]!r} of {table[:80]!r}", organization_id, mapped=entity is not None)
    record_id = _guid(raw, "PrimaryEntityId")
    operation_id = _optional_guid(raw, "OperationId")
    step = raw.get("OwningExtension")
    step_id = _optional_guid(step, "Id") if isinstance(step, dict) else None
    # Only Dataverse's own ids may identify a message: a hash of the content would swallow the last of A, B, A.
    message_id = str(uuid5(NAMESPACE_URL, f"{operation_id}/{record_id}/{step_id}/{message}")) if operation_id else None
    return Notification(
        entity=entity,
        data=DirtyData(record_id=record_id, operation=operation, reason=f"webhook {message}"),
        organization_id=organization_id,
        message_id=message_id,
        occurred_at=_instant(raw.get("OperationCreatedOn")),
    )


def _document(raw: dict[str, Any], mapping: Mapping) -> Notification | Ignored:
    event_type = _text(raw, "eventType")
    name, _, verb = event_type.rpartition(".")
    operation = _DOCUMENT.get(verb)
    entity = mapping.entities.get(name) or mapping.tables.get(name)
    if entity is None or operation is None:
        return Ignored(repr(event_type[:80]), mapped=entity is not None)
    data = raw.get("data")
    if not isinstance(data, dict):
        raise InvalidMessage(f"data is {shape(data)}, not an object.")
    id_name = _first_said(data, entity.id, "id")
    key_name = _first_said(data, entity.key.column, entity.key.name, *entity.key.aliases, "key")
    if id_name is None and key_name is None:
        raise InvalidMessage(f"data names no record: it needs {entity.id} or {entity.key.column}.")
    record_id = _guid(data, id_name) if id_name else None
    try:
        key = entity.usable_key(data[key_name]) if key_name else None
    except KeyNotUsable as error:
        if record_id is None:
            raise InvalidMessage(error.message) from None
        key = None  # the row's id names the record, whatever its key is; the engine says what is wrong with the key
    reason = f"webhook {event_type}"
    return Notification(entity, DirtyData(record_id=record_id, key=key, operation=operation, reason=reason))


def _first_said(data: dict[str, Any], *names: str) -> str | None:
    return next((name for name in names if data.get(name) not in (None, "")), None)


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidMessage(f"{name} is {shape(value)}, not a name.")
    return value


def _guid(raw: dict[str, Any], name: str) -> UUID:
    found = _optional_guid(raw, name)
    if found is None:
        raise InvalidMessage(f"{name} is absent or all zeros: a GUID is needed.")
    return found


def _optional_guid(raw: dict[str, Any], name: str) -> UUID | None:
    """A GUID; None where it is absent, null or all zeros."""
    value = raw.get(name)
    try:
        found = UUID(int=0) if value is None else UUID(value)
    except (ValueError, AttributeError):
        # UUID takes any value for text.
        raise InvalidMessage(f"{name} is {shape(value)}, not a GUID.") from None
    return found if found.int else None


def _instant(raw: object) -> datetime | None:
    """When it happened, where that can be read: it informs people and decides nothing."""
    try:
        return parse_instant(raw)
    except ValueError:
        return None
