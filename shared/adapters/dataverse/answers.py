"""What Dataverse's successes hold: rows, one or many, as objects of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from shared.adapters.dataverse.wire import Codes, to_record
from shared.domain import jsontext
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, NotReady, PermanentError, Unavailable


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object.

    Raises:
        Unavailable: A success that is something else: a proxy's or a gateway's page.
    """
    try:
        found = jsontext.parse(response.content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(
            f"Dynamics answered {response.status_code} to {response.request.url.path} with something that is not"
            " a JSON object: a proxy may stand between.",
            status=response.status_code,
        )
    return found


def record_of(entity: EntityMapping, response: httpx.Response, codes: Codes) -> DynamicsRecord:
    """The one row of an answer.

    Raises:
        Unavailable: It is not one.
    """
    return _record(entity, json_of(response), codes)


def rows_of(entity: EntityMapping, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a list, as JSON.

    Raises:
        Unavailable: It is not one.
    """
    rows = answer.get("value")
    if not isinstance(rows, list):
        raise Unavailable(f"Dynamics' list of {entity.set} has no value: a proxy may stand between.")
    return [row for row in rows if isinstance(row, dict)]


def records_of(entity: EntityMapping, answer: dict[str, Any], codes: Codes) -> list[DynamicsRecord]:
    """The rows of a list.

    Raises:
        Unavailable: It is not one.
    """
    rows_of(entity, answer)
    return [_record(entity, row, codes) for row in answer["value"]]


def _record(entity: EntityMapping, row: Any, codes: Codes) -> DynamicsRecord:
    try:
        return to_record(entity, row, codes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            f"A row of Dynamics' {entity.set} came without an id or an etag ({type(error).__name__})."
        ) from error


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
