"""Azure Table's failures in the product's terms."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from shared.errors import NotAuthorized, RejectedByTarget, SyncError, Throttled, Unavailable

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

_NOT_AUTHORIZED: Final = frozenset({401, 403})
_TOO_MANY: Final = 429
_BUSY: Final = 503
_SERVER: Final = 500
_TIMEOUT: Final = 408


@contextmanager
def mapped() -> Iterator[None]:
    """Raise every failure of the SDK as one of ours.

    Raises:
        Throttled: The service asked us to slow down.
        NotAuthorized: The identity may not use the table.
        Unavailable: No usable answer; a write may or may not have happened.
        RejectedByTarget: The service refuses the request for good: a fault of ours.
    """
    from azure.core.exceptions import AzureError  # noqa: PLC0415  # not before the ledger is used

    try:
        yield
    except TimeoutError as error:
        raise Unavailable("The ledger's table did not answer in time.") from error
    except AzureError as error:
        raise as_ours(error) from error


def as_ours(error: "AzureError") -> SyncError:
    """The error of our tree that says what this one says."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError  # noqa: PLC0415

    if not isinstance(error, HttpResponseError) or error.status_code is None:
        if isinstance(error, ClientAuthenticationError):
            return _refused(None, None, None)
        # Only the kind: the SDK's text may repeat the whole request.
        return Unavailable(f"The ledger's table gave no usable answer ({type(error).__name__}).")
    status, code, request_id = error.status_code, code_of(error), _header(error, "x-ms-request-id")
    if status in _NOT_AUTHORIZED or isinstance(error, ClientAuthenticationError):
        return _refused(status, code, request_id)
    if status in {_TOO_MANY, _BUSY}:
        return Throttled(
            f"The ledger's table is busy ({status} {code}).",
            retry_after=_retry_after(error), status=status, code=code, request_id=request_id,
        )  # fmt: skip
    if status >= _SERVER or status == _TIMEOUT or code is None:
        return Unavailable(
            f"The ledger's table gave no usable answer ({status} {code or 'without a code'}): if this goes on, check"
            " the address in SYNC_LEDGER.",
            status=status, code=code, request_id=request_id,
        )  # fmt: skip
    return RejectedByTarget(
        f"The ledger's table refused a request for good ({status} {code}): report it with the request id {request_id}.",
        status=status, code=code, request_id=request_id,
    )  # fmt: skip


def code_of(error: "HttpResponseError") -> str | None:
    """The service's own code, such as `TableNotFound`; None where the answer was not the service's."""
    code = getattr(error, "error_code", None)
    text = str(getattr(code, "value", code)) if code is not None else None
    return text or _header(error, "x-ms-error-code")


def _refused(status: int | None, code: str | None, request_id: str | None) -> NotAuthorized:
    return NotAuthorized(
        f"The ledger's table does not accept our identity ({status or 'no token'} {code or ''}".rstrip()
        + "): grant it Storage Table Data Contributor on the table; a new grant takes some minutes.",
        status=status,
        code=code,
        request_id=request_id,
    )


def _header(error: "HttpResponseError", name: str) -> str | None:
    headers = getattr(error.response, "headers", None) or {}
    value = headers.get(name)
    return str(value) if value is not None else None


def _retry_after(error: "HttpResponseError") -> timedelta | None:
    """Seconds or an HTTP date."""
    text = _header(error, "Retry-After") or ""
    try:
        if text.isascii() and text.isdigit():
            return timedelta(seconds=int(text))
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(wait, timedelta())
