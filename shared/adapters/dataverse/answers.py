"""What Dataverse's answers mean: rows, or one of our errors. The status decides first: the body may be anything."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from shared.adapters.dataverse.wire import to_record
from shared.adapters.http.client import passing, retry_after
from shared.domain import jsontext
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import (
    Conflict,
    NotAuthorized,
    NotReady,
    PermanentError,
    RecordClosed,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.flows.ports.engine import DynamicsWrite

# 412 means "changed since", and also "already exists": what exists may be the record itself, made by another worker, or
# a value that some other unique key or rule of the customer's allows only once. Only the first is a lost race.
_ALREADY_EXISTS: Final = frozenset({"0x80060892", "0x80040237"})
_DUPLICATE_RULE: Final = "0x80040333"
_READ_ONLY: Final = "0x8004022e"
# What Dataverse and its sales tables say of the row itself. "Not active" alone is said of price lists and owners too.
_CLOSED: Final = re.compile(
    r"\bcannot update a read-only entity\b"
    r"|\b(?:this|the) (?:record|row) is (?:read[- ]only|inactive|not active|not in a valid state)\b",
    re.IGNORECASE,
)
_STATUS_NOT_OF_STATE: Final = "0x80048408"
_NO_SUCH_ROW: Final = frozenset({"0x80040217", "0x80060891"})
_NO_SUCH_ADDRESS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
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


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object.

    Raises:
        Unavailable: A success that is something else: a proxy's or a gateway's page.
    """
    try:
        found = jsontext.parse(response.text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(
            f"Dynamics answered {response.status_code} to {response.request.url.path} with something that is not"
            " a JSON object: a proxy may stand between.",
            status=response.status_code,
        )
    return found


def record_of(entity: EntityMapping, response: httpx.Response) -> DynamicsRecord:
    """The one row of an answer.

    Raises:
        Unavailable: It is not one.
    """
    return _record(entity, json_of(response))


def records_of(entity: EntityMapping, answer: dict[str, Any]) -> list[DynamicsRecord]:
    """The rows of a list.

    Raises:
        Unavailable: It is not one.
    """
    rows = answer.get("value")
    if not isinstance(rows, list):
        raise Unavailable(f"Dynamics' list of {entity.set} has no value: a proxy may stand between.")
    return [_record(entity, row) for row in rows]


def _record(entity: EntityMapping, row: Any) -> DynamicsRecord:
    try:
        return to_record(entity, row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            f"A row of Dynamics' {entity.set} came without an id or an etag ({type(error).__name__})."
        ) from error


def failure(response: httpx.Response, now: datetime) -> SyncError:
    """What an unsuccessful answer means; `now` is what a `Retry-After` date counts from."""
    status = response.status_code
    code, text = _service_error(response)
    where = f"{response.request.method} {response.request.url.path}"
    request_id = response.headers.get("x-ms-service-request-id") or response.headers.get("REQ_ID")
    detail = f" ({code}: {text})" if code or text else ""
    wait = retry_after(response, now)
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(
                f"Dynamics asked us to slow down{detail}.",
                retry_after=wait,
                status=status,
                code=code,
                request_id=request_id,
            )
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NotAuthorized(
                f"Dynamics refused our identity for {where}{detail}. Check the application user and its security role.",
                status=status,
                code=code,
                request_id=request_id,
            )
        case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.CONFLICT:
            if code == _DUPLICATE_RULE:
                return RejectedByTarget(
                    f"Dynamics refused {where}{detail}: one of its duplicate detection rules found a similar row."
                    " Merge the two, or change the rule.",
                    status=status,
                    code=code,
                    request_id=request_id,
                )
            race = (
                "a row with one of these values exists already"
                if code in _ALREADY_EXISTS
                else "the row changed meanwhile"
            )
            return Conflict(
                f"Dynamics refused {where}{detail}: {race}.", status=status, code=code, request_id=request_id
            )
        case _ if passing(status):
            # A redirect is one of them: another address answers, so DYNAMICS_365_BASE_URL is not Dataverse's.
            return Unavailable(
                f"Dynamics answered {status} to {where}{detail}.",
                retry_after=wait,
                status=status,
                code=code,
                request_id=request_id,
            )
        case HTTPStatus.NOT_FOUND if code in _NO_SUCH_ROW:
            # Absence counts only from a list read: the record is read again.
            return Conflict(f"{where}: the row is not there any more.", status=status, code=code, request_id=request_id)
        case _ if status in _NO_SUCH_ADDRESS:
            return NotReady(
                f"Dynamics knows no {where}{detail}. Check the mapping's table and set, and the Web API's address.",
                status=status,
                code=code,
                request_id=request_id,
            )
    return RejectedByTarget(f"Dynamics refused {where}{detail}.", status=status, code=code, request_id=request_id)


def refusal(entity: EntityMapping, write: DynamicsWrite, response: httpx.Response, now: datetime) -> SyncError:
    """What a refused write of one row means: as `failure` says, and what only the write itself can tell.

    Whether a create that met a duplicate lost a race, its answer does not tell: `taken` is for those that did not.
    """
    error = failure(response, now)
    if write.id is not None and isinstance(error, RejectedByTarget) and _is_closed(error, write.id):
        error = RecordClosed(error.message, status=error.status, code=error.code, request_id=error.request_id)
    if write.id is not None and not write.restore_key and is_duplicate(error):
        return taken(entity, error)
    return named(entity, error)


def is_duplicate(error: SyncError) -> bool:
    """Whether one of the table's keys was violated, be it the business key or another one."""
    return isinstance(error, Conflict) and error.code in _ALREADY_EXISTS


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


@contextmanager
def of_all_rows() -> Iterator[None]:
    """The failure of a request that holds many rows: no row can be blamed, so everything waits until it is mended.

    Raises:
        NotReady: In place of what would blame one record.
    """
    try:
        yield
    except (PermanentError, Conflict) as error:
        raise NotReady(
            f"{error.message} Check the mapping's columns and the Web API's address.",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ) from error


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
        return str(error.get("code") or ""), " ".join(str(error.get("message") or "").split())[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""
