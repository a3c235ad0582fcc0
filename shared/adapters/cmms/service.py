"""The CMMS's API as a service: its answers as JSON, and what its refusals mean."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, override

import httpx

from shared.adapters.http.client import HttpService, passing, retry_after
from shared.domain import jsontext
from shared.errors import (
    Conflict,
    KeyTaken,
    NotAuthorized,
    NotReady,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)


class AlreadyApplied(Conflict):
    """The create was done before, under the same operation id; `record` is what it made, as the API shows it now."""

    def __init__(self, record: Any) -> None:
        super().__init__("The CMMS has applied this create before.")
        self.record = record


class CmmsService(HttpService):
    """Knows the API's codes."""

    @override
    def meaning(self, response: httpx.Response) -> SyncError:
        status = response.status_code
        request = response.request
        where = f"{request.method} {request.url.path}"
        code, text, field = _error_of(response)
        detail = f": {text.rstrip('. ')}" if text else ""
        wait = retry_after(response, self.clock.now())
        match status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return Throttled(f"The CMMS asked us to slow down{detail}.", retry_after=wait, status=status, code=code)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return NotAuthorized(
                    f"The CMMS refused our token for {where}. Check CMMS_TOKEN.", status=status, code=code
                )
            case HTTPStatus.CONFLICT if code == "ya_aplicada":
                return AlreadyApplied(_record_in(response))
            case HTTPStatus.CONFLICT if code == "ya_existe":
                return KeyTaken(f"{where}: another record has the key.", status=status, code=code)
            case HTTPStatus.CONFLICT | HTTPStatus.PRECONDITION_FAILED:
                return Conflict(f"{where}: the record changed, or exists already.", status=status, code=code)
            case _ if passing(status):
                # A redirect is one of them: another address answers, so CMMS_BASE_URL is not the API's.
                return Unavailable(
                    f"The CMMS answered {status} to {where}{detail}.", retry_after=wait, status=status, code=code
                )
            case HTTPStatus.NOT_FOUND if request.method == "PATCH":
                # Absence counts only from a list read: the record is read again.
                return Conflict(
                    f"{where}: not found; the record may have been deleted meanwhile.", status=status, code=code
                )
            case HTTPStatus.NOT_FOUND | HTTPStatus.METHOD_NOT_ALLOWED | HTTPStatus.GONE:
                return NotReady(
                    f"The CMMS knows no {where}{detail}. Check CMMS_BASE_URL and the mapping's cmms names.",
                    status=status,
                    code=code,
                )
        return RejectedByTarget(f"The CMMS refused {where}{detail}.", field=field, status=status, code=code)


def json_of(response: httpx.Response, parse: Callable[[bytes], Any] = jsontext.parse) -> dict[str, Any]:
    """An answer's JSON object.

    Raises:
        Unavailable: It is none: something else than the API answered.
    """
    try:
        answer = parse(response.content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(
            f"The CMMS answered {response.status_code} to {response.request.method} {response.request.url.path} with"
            " something that is not a JSON object: check CMMS_BASE_URL.",
            status=response.status_code,
        )
    return answer


def _error_of(response: httpx.Response) -> tuple[str | None, str, str | None]:
    """The code, the text and the field of an error; nothing where the body is not the API's."""
    try:
        error = jsontext.parse(response.content)["error"]
        code, text, field = error.get("codigo"), error.get("mensaje"), error.get("campo")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "", None
    return str(code or "") or None, str(text or "")[:300], field if isinstance(field, str) else None


def _record_in(response: httpx.Response) -> Any:
    """The record beside an error."""
    try:
        error = jsontext.parse(response.content)
        return error.get("registro") or error["error"].get("registro")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
