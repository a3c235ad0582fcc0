"""What Dataverse's refusals mean: one table of codes and shapes, read from top to bottom.

| what the answer shows | of one row | of a whole request |
|---|---|---|
| a code of the table `CODES` | as the table says | as the table says |
| SQL error (0x80044150) whose number says that the value is wrong | the row's | the status decides |
| SQL error, any other number or none | the service's: waits | the service's: waits |
| any other code that an application chose | the row's, whatever the status but 429 | the status decides |
| no code: 429 | throttled | throttled |
| no code: 401, 403 | our sign-in | our sign-in |
| no code: 409, 412 | a lost race | a lost race |
| no code: redirects, 407, 408, 421, 425, 5xx | the service's: waits | the service's: waits |
| no code: 404, 405, 410 | an address that is not there | an address that is not there |
| no code: any other | the row's | the row's |

A plug-in chooses both the status and the code of its refusal, so that a row refused with 500, 401, 412 or 503 says
nothing of the service: https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.pluginhttpstatuscode. A part of a batch
that was let in says nothing of our sign-in either, unless its code does.

Codes: https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes, lost deadlocks
and time-outs: https://learn.microsoft.com/troubleshoot/power-platform/dataverse/working-with-solutions/bulk-operation-errors.
"""

import re
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from shared.adapters.http.client import passing


class Meaning(StrEnum):
    """What a refusal is about."""

    ROW = "row"
    """The row, or one of its values: for good."""
    COLUMN = "column"
    """A column that is secured against our user: for good."""
    RULE = "rule"
    """A duplicate detection rule of the customer's: for good."""
    RACE = "race"
    """The row changed, appeared or went meanwhile: it is read again."""
    DUPLICATE = "duplicate"
    """A value that may be there only once is there."""
    ABSENT = "absent"
    """The row, or one that it refers to, is not there."""
    THROTTLED = "throttled"
    """Too much at once."""
    BUSY = "busy"
    """The service answered that it could not do it now, and did nothing: a lost deadlock, no plug-in worker."""
    OUTAGE = "outage"
    """No usable answer: a write may have happened."""
    SIGN_IN = "sign-in"
    """Our identity, for every row alike."""
    ADDRESS = "address"
    """A table or an address that is not there."""


CODES: Final[dict[str, Meaning]] = {
    # Service protection.
    "0x80072322": Meaning.THROTTLED,  # requests
    "0x80072321": Meaning.THROTTLED,  # execution time
    "0x80072326": Meaning.THROTTLED,  # concurrency
    # The transaction was rolled back, or no worker took it: nothing was written, and later it may be.
    "0x80044151": Meaning.BUSY,  # SQL time-out
    "0x80040255": Meaning.BUSY,  # rolled back after a lost deadlock
    "0x8004418d": Meaning.BUSY,  # no sandbox worker
    "0x8004418e": Meaning.BUSY,  # no sandbox host
    "0x80044174": Meaning.BUSY,  # the sandbox did not start
    "0x80081116": Meaning.BUSY,  # too many sandbox workers failed
    # Our user as a whole.
    "0x80040220": Meaning.SIGN_IN,  # the role lacks a privilege
    "0x80040225": Meaning.SIGN_IN,  # the user is disabled
    "0x80072560": Meaning.SIGN_IN,  # the user is no member of the organization
    "0x80072559": Meaning.SIGN_IN,  # error from Microsoft Entra
    "0x8004a100": Meaning.SIGN_IN,  # the ticket is not valid
    "0x8005f101": Meaning.SIGN_IN,  # the token has expired
    # Secured columns.
    "0x8004f502": Meaning.COLUMN,  # may not be set on create
    "0x8004f504": Meaning.COLUMN,  # may not be read
    "0x8004f507": Meaning.COLUMN,  # may not be updated
    # The row against others.
    "0x80060882": Meaning.RACE,
    "0x80060892": Meaning.DUPLICATE,
    "0x80040237": Meaning.DUPLICATE,
    "0x80040333": Meaning.RULE,
    "0x80040217": Meaning.ABSENT,
    "0x80060891": Meaning.ABSENT,
    "0x8006088a": Meaning.ADDRESS,
}

# A plug-in's refusal, and its fault: these are the row's even with 429.
_PLUG_INS: Final = frozenset({"0x80040265", "0x80040224"})
_SQL: Final = "0x80044150"
_SQL_NUMBER: Final = re.compile(r"\bsql number:\s*(-?\d+)", re.IGNORECASE)
# SQL Server's messages about the values themselves: https://learn.microsoft.com/sql/relational-databases/errors-events.
_OF_VALUES: Final = frozenset(
    {"220", "232", "241", "242", "245", "248", "515", "547", "2601", "2627", "2628", "8115", "8152"}
)
# The last is the platform's own "unexpected error", which says no more than its status.
_NO_CODE: Final = frozenset({"", "0x0", "0", "0x00000000", "0x80040216"})
_NO_SUCH_ADDRESS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
# "... does not have WriteAccess right(s) for record with id ..." is said under the code of a lacking privilege, too.
_OF_ONE_RECORD: Final = re.compile(r"\bfor (?:this |the )?record(?: with id)?\b", re.IGNORECASE)


def normal(code: object) -> str:
    """A code in one form: `0x80040217` for `-2147220969`, `80040217` or upper-case letters."""
    text = str(code or "").strip().lower()
    if re.fullmatch(r"-?\d{9,10}", text) and not re.fullmatch(r"8\d{7}", text):
        return f"0x{int(text) & 0xFFFFFFFF:08x}"
    return f"0x{text}" if re.fullmatch(r"[0-9a-f]{8}", text) else text


def meaning(status: int, code: str, text: str, *, of_row: bool) -> Meaning:
    """Read the table of this module's docstring.

    Args:
        status: The HTTP status.
        code: The service's code in its normal form, empty where there is none.
        text: The service's sentence.
        of_row: Whether one row alone was asked for: a part of a batch that writes it.
    """
    if code == _SQL:
        number = _SQL_NUMBER.search(text)
        if number is None or number[1] not in _OF_VALUES:
            return Meaning.BUSY
    elif code in CODES:
        known = CODES[code]
        return Meaning.ROW if of_row and known is Meaning.SIGN_IN and _OF_ONE_RECORD.search(text) else known
    if of_row and code not in _NO_CODE and (status != HTTPStatus.TOO_MANY_REQUESTS or code in _PLUG_INS):
        return Meaning.ROW
    return _of_status(status)


def _of_status(status: int) -> Meaning:
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Meaning.THROTTLED
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Meaning.SIGN_IN
        case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.CONFLICT:
            return Meaning.RACE
        case _ if passing(status):
            return Meaning.OUTAGE
        case _ if status in _NO_SUCH_ADDRESS:
            return Meaning.ADDRESS
    return Meaning.ROW
