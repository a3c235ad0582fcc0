"""What an answer says of the service, apart from what it makes of one request.

The circuit breaker goes by this alone, so that one record's failure is never taken for the whole side's: a service
whose own code answers 500 for six records works for all others.

| Answer | Verdict |
|---|---|
| success; a refusal of this request (4xx, or whatever `meaning` takes for one) | `ANSWERS` |
| 500 with an error in the application's own form | `ANSWERS` |
| 429 | `BUSY` |
| 502, 503, 504 | `DOWN` |
| 500 without such an error, such as Django's page: one record's failure, or everybody's | `UNTOLD` |
| a redirect, 408, 421, 501, ...: something between, or another address | `UNTOLD` |

No answer at all (no connection, a time-out) is `DOWN`, too; `HttpService` says so where it happens.
"""

from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import httpx

from shared.domain import jsontext
from shared.errors import SyncError, Throttled, Unavailable

_DOWN: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Verdict(Enum):
    """What the breaker does: close, wait as asked, count a failure, or nothing."""

    ANSWERS = auto()
    BUSY = auto()
    DOWN = auto()
    UNTOLD = auto()


def verdict(response: httpx.Response, error: SyncError | None) -> Verdict:
    """Judge one answer.

    Args:
        response: The answer, read to its end.
        error: What the side's client makes of the answer; None for a success.

    Returns:
        One verdict, by the table above.
    """
    if isinstance(error, Throttled):
        return Verdict.BUSY
    if not isinstance(error, Unavailable):
        return Verdict.ANSWERS
    if response.status_code in _DOWN:
        return Verdict.DOWN
    if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and is_applications_own(response):
        return Verdict.ANSWERS
    return Verdict.UNTOLD


def is_applications_own(response: httpx.Response) -> bool:
    """Whether the application itself wrote the error, not a server or proxy before it.

    Both APIs answer an object with a code in it: `{"error": {"code": "0x80040265", "message": "..."}}` from
    Dataverse, `{"error": {"codigo": "no_guardado", "mensaje": "..."}}` from the CMMS.
    """
    try:
        error = jsontext.parse(response.content)["error"]
        return bool(error.get("code") or error.get("codigo"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
