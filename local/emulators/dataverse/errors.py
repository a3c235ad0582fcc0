"""The catalogue of refusals: HTTP status, service code and sentence of each.

Codes: https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
The sentences name the same things as the service's (table, column, value) in words of our own: clients must
branch on status and code. A line marked "unverified" carries a code that no public source confirmed for it.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import override


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    code: str
    sentence: str


class Refusal(Enum):
    """Every error that the emulator answers with a JSON body."""

    NOT_FOUND = _Refusal(404, "0x80040217", "{table} With Id = {id} Does Not Exist")
    KEY_NOT_FOUND = _Refusal(
        404, "0x80060891", "A record with the specified key values does not exist in {table} entity"
    )
    UNKNOWN_SEGMENT = _Refusal(404, "0x8006088a", "Resource not found for the segment '{segment}'.")
    KEY_VIOLATED = _Refusal(
        412,
        "0x80060892",
        "Entity Key {key} violated. A record with the same value for {columns} already exists.",
    )
    DUPLICATE = _Refusal(412, "0x80040237", "A record with matching key values already exists.")
    VERSION_MISMATCH = _Refusal(
        412,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    )
    KEY_NOT_DEFINED = _Refusal(  # unverified
        400,
        "0x80060888",
        "The specified key attributes are not an active key of the {table} entity: {columns}",
    )
    SYNTAX = _Refusal(400, "0x80060888", "Bad Request - Error in query syntax. {detail}")
    UNKNOWN_COLUMN_IN_QUERY = _Refusal(
        400,
        "0x80060888",
        "Could not find a property named '{column}' on type 'Microsoft.Dynamics.CRM.{table}'.",
    )
    PAYLOAD = _Refusal(
        400, "0x80048d19", "Error identified in Payload provided by the user for Entity :'{set}': {detail}"
    )
    UNKNOWN_PROPERTY = _Refusal(
        400,
        "0x80048d19",
        "Error identified in Payload provided by the user for Entity :'{set}': "
        "The property '{column}' does not exist on type 'Microsoft.Dynamics.CRM.{table}'.",
    )
    WRONG_TYPE = _Refusal(
        400,
        "0x80048d19",
        "Error identified in Payload provided by the user for Entity :'{set}': "
        "Cannot convert the literal '{value}' of property '{column}' to the expected type '{type}'.",
    )
    TOO_LONG = _Refusal(
        400,
        "0x80044331",
        "A validation error occurred. The length of the '{column}' attribute of the '{table}' entity "
        "exceeded the maximum allowed length of '{limit}'.",
    )
    OUT_OF_RANGE = _Refusal(
        400,
        "0x80044330",
        "A validation error occurred for {table}.{column}. The value is outside the valid range ({low} to {high}).",
    )
    INTEGER_OUT_OF_RANGE = _Refusal(
        400,
        "0x8004432f",
        "A validation error occurred for {table}.{column}. The value is outside the valid range ({low} to {high}).",
    )
    UNKNOWN_CHOICE = _Refusal(
        400,
        "0x8004431a",
        "A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside "
        "the valid range. Accepted Values: {accepted}",
    )
    DATE_OUT_OF_RANGE = _Refusal(
        400, "0x80040239", "The date-time format is invalid, or value is outside the supported range."
    )
    INVALID_CHARACTER = _Refusal(
        400,
        "0x80040278",
        "Invalid character in field '{column}': hexadecimal value 0x{hex}, is an invalid character.",
    )
    STATUS_NOT_OF_STATE = _Refusal(
        400,
        "0x80048408",
        "{status} is not a valid status code for state code {state} on {table} with Id {id}.",
    )
    COLUMN_REQUIRED = _Refusal(  # unverified
        400, "0x80040203", "Attribute '{column}' of the '{table}' entity cannot be empty."
    )
    NOT_WRITABLE = _Refusal(  # unverified
        400, "0x80040203", "Attribute '{column}' of the '{table}' entity cannot be set on {operation}."
    )
    RECORD_READ_ONLY = _Refusal(  # unverified
        400,
        "0x80040203",
        "Attribute '{column}' cannot be changed: the {table} with Id {id} is not in a valid state for an update "
        "(state code {state} is read-only).",
    )
    DEFINITION = _Refusal(400, "0x80048403", "{detail}")  # unverified
    ANONYMOUS_USER = _Refusal(403, "0x80072560", "The user is not a member of the organization.")
    DISABLED_USER = _Refusal(403, "0x80040225", "The user with Id {user} is disabled.")
    MISSING_PRIVILEGE = _Refusal(403, "0x80040220", "Principal user (Id={user}) is missing {privilege} privilege.")
    SECURED_ON_CREATE = _Refusal(
        403,
        "0x8004f502",
        "The user does not have create permissions to a secured field. The requested operation could not be completed.",
    )
    SECURED_ON_UPDATE = _Refusal(
        403,
        "0x8004f507",
        "The user doesn't have AttributePrivilegeUpdate and not granted shared access for a secured attribute during "
        "update operation",
    )
    METHOD_NOT_ALLOWED = _Refusal(405, "0x80060888", "The request method '{method}' isn't supported here.")
    UNSUPPORTED_MEDIA = _Refusal(415, "0x80060888", "The Content-Type '{type}' isn't supported: send application/json.")
    TRACKING_OFF = _Refusal(400, "0x80072491", "Change tracking is not enabled for the entity {table}.")
    TRACKING_OPTION = _Refusal(  # unverified
        400, "0x80060888", "The query option {option} cannot be used together with odata.track-changes."
    )
    TOKEN_EXPIRED = _Refusal(
        400, "0x80044352", "The version stamp of the client for {table} has expired: read everything again."
    )
    PLUG_IN = _Refusal(400, "0x80040265", "{detail}")
    NOT_SUPPORTED = _Refusal(400, "0x80060888", "{what} is not supported by this emulator.")
    MESSAGE_NOT_SUPPORTED = _Refusal(
        400, "0x80040800", "The '{message}' method does not support entities of type '{table}'."
    )
    TOO_MANY_IN_BATCH = _Refusal(400, "0x80060888", "A batch holds at most {limit} requests, and this one more.")
    THROTTLED_REQUESTS = _Refusal(
        429,
        "0x80072322",
        "Number of requests exceeded the limit of {limit} over time window of {window} seconds.",
    )
    THROTTLED_TIME = _Refusal(
        429,
        "0x80072321",
        "Combined execution time of incoming requests exceeded limit of {limit} milliseconds over time "
        "window of {window} seconds. Decrease number of concurrent requests or their duration and try again.",
    )
    THROTTLED_CONCURRENCY = _Refusal(429, "0x80072326", "Number of concurrent requests exceeded the limit of {limit}.")

    def __call__(self, **values: object) -> "DataverseError":
        """Make the exception, with the sentence filled in."""
        return DataverseError(self, self.value.sentence.format(**values))


@dataclass(eq=False)
class DataverseError(Exception):
    """A refused operation; `headers` go onto the answer (`Retry-After`)."""

    refusal: Refusal
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.value.status

    @property
    def code(self) -> str:
        """The service's code, as in `0x80040217`."""
        return self.refusal.value.code


class PlugInError(DataverseError):
    """A plug-in's refusal: it chooses status and code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(Refusal.PLUG_IN, message)
        self._status = status
        self._code = code

    @property
    @override
    def status(self) -> int:
        return self._status

    @property
    @override
    def code(self) -> str:
        return self._code
