"""What Dataverse's refusals become: an error of ours, with the CMMS's field in place of Dynamics' column."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import httpx

from shared.adapters.dataverse.codes import Meaning, meaning, normal
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.adapters.http.client import retry_after
from shared.domain import jsontext
from shared.domain.schema.mapping import EntityMapping
from shared.errors import (
    Conflict,
    KeyTaken,
    NotAuthorized,
    NotReady,
    PermanentError,
    RecordClosed,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)

_DUPLICATES: Final = frozenset({"0x80060892", "0x80040237"})
_READ_ONLY: Final = "0x8004022e"
# What Dataverse and its sales tables say of the row itself. "Not active" alone is said of price lists and owners too.
_CLOSED: Final = re.compile(
    r"\bcannot update a read-only entity\b"
    r"|\b(?:this|the) (?:record|row) is (?:read[- ]only|inactive|not active|not in a valid state)\b",
    re.IGNORECASE,
)
_STATUS_NOT_OF_STATE: Final = "0x80048408"
# Dataverse names the column at fault only in prose, mostly in quotes. The first of these that finds one of ours is
# believed; a word in quotes alone may also be a value.
_NAMING: Final = (
    re.compile(r"\b(?:attribute|property|column|field)(?:\s+named?)?\s*[:=]?\s*['\"](\w+)['\"]", re.IGNORECASE),
    re.compile(r"['\"](\w+)['\"]\s+(?:attribute|property|column|field)\b", re.IGNORECASE),
)
_QUOTED: Final = re.compile(r"['\"](\w+)['\"]")
_WORD: Final = re.compile(r"(?<![\w'\".])\w+(?![\w'\"])")
# Columns of Dataverse's own tables that are words of a sentence too: they count only in quotes, or after their table.
_ENGLISH: Final = frozenset(
    {"category", "cost", "description", "name", "price", "quantity", "size", "subject", "title"}
)


def failure(response: httpx.Response, now: datetime, *, of_row: bool = False) -> SyncError:
    """What an unsuccessful answer means.

    Args:
        response: The answer, or the answer to a part of a batch.
        now: What a `Retry-After` date counts from.
        of_row: Whether one row alone was asked for.
    """
    status = response.status_code
    code, text = _service_error(response)
    what = meaning(status, code, text, of_row=of_row)
    where = f"{response.request.method} {response.request.url.path}"
    detail = f" ({code}: {text.rstrip('. ')})" if code or text else ""
    known: dict[str, Any] = {
        "status": status,
        "code": code,
        "request_id": response.headers.get("x-ms-service-request-id") or response.headers.get("REQ_ID"),
    }
    match what:
        case Meaning.THROTTLED:
            wait = retry_after(response, now)
            return Throttled(f"Dynamics asked us to slow down{detail}.", retry_after=wait, **known)
        case Meaning.SIGN_IN:
            return NotAuthorized(
                f"Dynamics refused our identity for {where}{detail}. Check the application user and its security role.",
                **known,
            )
        case Meaning.RACE:
            return Conflict(f"Dynamics refused {where}{detail}: the row changed meanwhile.", **known)
        case Meaning.DUPLICATE:
            race = "a row with one of these values exists already"
            return KeyTaken(f"Dynamics refused {where}{detail}: {race}.", **known)
        case Meaning.ABSENT:
            # Absence counts only from a list read: the record is read again.
            return Conflict(f"{where}: the row is not there any more{detail}.", **known)
        case Meaning.RULE:
            rule = "one of its duplicate detection rules found a similar row. Merge the two, or change the rule"
            return RejectedByTarget(f"Dynamics refused {where}{detail}: {rule}.", **known)
        case Meaning.OUTAGE | Meaning.BUSY:
            # A redirect is an outage too: another address answers, so DYNAMICS_365_BASE_URL is not Dataverse's.
            # A busy service answered that nothing was done: there is no doubt about the write.
            return Unavailable(
                f"Dynamics answered {status} to {where}{detail}.",
                sent=what is Meaning.OUTAGE,
                retry_after=retry_after(response, now),
                **known,
            )
        case Meaning.ADDRESS:
            return NotReady(
                f"Dynamics knows no {where}{detail}. Check the mapping's table and set, and the Web API's address.",
                **known,
            )
        case Meaning.COLUMN:
            profile = "Give our application user a column security profile, or take the column out of the mapping"
            return RejectedByTarget(f"Dynamics refused {where}{detail}. {profile}.", **known)
    return RejectedByTarget(f"Dynamics refused {where}{detail}.", **known)


def refusal(entity: EntityMapping, write: DynamicsWrite, response: httpx.Response, now: datetime) -> SyncError:
    """What a refused write of one row means: as `failure` says, and what only the write itself can tell.

    Whether a create that met a duplicate lost a race, its answer does not tell: `taken` is for those that did not.
    """
    error = failure(response, now, of_row=True)
    if write.id is not None and isinstance(error, RejectedByTarget) and _is_closed(error, write.id):
        error = RecordClosed(error.message, status=error.status, code=error.code, request_id=error.request_id)
    if write.id is not None and not write.writes_key and is_duplicate(error):
        return taken(entity, error)
    return named(entity, error)


def is_duplicate(error: SyncError) -> bool:
    """Whether one of the table's keys was violated, be it the business key or another one."""
    return isinstance(error, Conflict) and error.code in _DUPLICATES


def taken(entity: EntityMapping, error: SyncError) -> SyncError:
    """The failure of a duplicate that is no lost race: another record has a value that may be there only once."""
    return named(
        entity,
        RejectedByTarget(
            f"{error.message} Only one record may have it: correct one of the two, or the table's keys.",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ),
    )


def _is_closed(error: SyncError, row_id: str) -> bool:
    text = error.message.lower().replace(" = ", " ")
    own = f"with id {row_id.lower()} is not in a valid state"
    return error.code == _READ_ONLY or own in text or _CLOSED.search(text) is not None


def of_field(name: str | None, error: SyncError) -> RejectedByTarget:
    """The same refusal, of one field: the CMMS's name stands before Dynamics' sentence."""
    message = error.message if name is None else f"{name}: {error.message}"
    return RejectedByTarget(message, field=name, status=error.status, code=error.code, request_id=error.request_id)


def named(entity: EntityMapping, error: SyncError) -> SyncError:
    """Name the CMMS's field instead of Dynamics' column, where the refusal's text names one that is ours."""
    if isinstance(error, PermanentError):
        fields = {entity.key.column: entity.key.name}
        for rule in entity.fields.values():
            fields |= dict.fromkeys(filter(None, (rule.column, rule.write_column, rule.state_column)), rule.name)
        ours = ["statuscode"] if error.code == _STATUS_NOT_OF_STATE else _columns(entity, fields, error.message)
        error.field = next((fields[column] for column in ours if column in fields), None)
        if error.field is not None:
            error.message = f"{error.field}: {error.message}"
    return error


def _columns(entity: EntityMapping, fields: Mapping[str, str], text: str) -> Iterator[str]:
    """The columns of ours that a text may blame, the surest first.

    Names that nothing marks as the column at fault count only where they are all of one field: of two, one may be a
    value or a condition.
    """
    for pattern in (*_NAMING, re.compile(rf"\b{re.escape(entity.table)}\.(\w+)")):
        yield from pattern.findall(text)
    for found in (_QUOTED.findall(text), [word for word in _WORD.findall(text) if word not in _ENGLISH]):
        mentioned = [column for column in found if column in fields]
        if len({fields[column] for column in mentioned}) == 1:
            yield mentioned[0]


def _service_error(response: httpx.Response) -> tuple[str, str]:
    try:
        error = jsontext.parse(response.text)["error"]
        return normal(error.get("code")), " ".join(str(error.get("message") or "").split())[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""
