"""Every failure of the product, in one tree.

SyncError
├── ConfigurationError        the worker cannot work: a setting, the mapping file, a missing alternate key
├── RoutingFailed             a message's outcome could not be written down: the broker must redeliver
├── PermanentError            parked at once: trying again cannot help
│   ├── InvalidMessage        the message itself is wrong
│   │   ├── TooLarge          larger than its queue takes
│   │   └── VersionInTheFuture  its version is further ahead than clocks differ
│   ├── MappingError          a value does not fit its field's rule
│   │   └── LookupNotFound    no row, or no single one, has the code that a field refers to
│   ├── RejectedByTarget      a side refused a value or a row for good
│   ├── NoEffect              a side confirmed a write and still holds what it held before
│   ├── MassClear             one field would be emptied in many records at once, and filled in few
│   ├── CurrencyChanged       a row has another currency than when both sides last agreed on its figures
│   ├── KeyNotUsable          a business key is empty, too long, doubled or bound to another record
│   ├── RecordClosed          the Dynamics row's state refuses edits
│   ├── LedgerUnreadable      what the ledger holds of one record is not what this version writes
│   ├── LinkTooLarge          the ledger cannot hold what it should remember of one record
│   ├── WentBack              a side shows an older state than was seen: it was restored from a backup
│   ├── RowReplaced           the row was deleted in Dynamics and then made again
│   ├── RecordGone            the row was deleted in Dynamics; only an operator creates it again
│   └── RecordMissing         the CMMS no longer shows a record, and says nothing of a deletion
└── TransientError            tried again later
    ├── of the message        counted, parked after the last attempt
    │   ├── Conflict          the record changed between read and write (412)
    │   │   └── KeyTaken      another row or record holds the business key
    │   ├── NotYetVisible     a side does not yet show what the message announced
    │   ├── LookupPending     the row that a field refers to is an entity of the mapping, and not there yet
    │   └── Unexpected        a fault of ours: the log holds the trace
    └── of the target         not counted: everything else waits for the same thing
        ├── Throttled         429; knows when to come back
        ├── Unavailable       no usable answer; the outcome of a write may be unknown
        ├── NotReady          something must be set up there first, such as an active alternate key
        │   └── DeltaRefused  a delta link expired, or Dynamics does not track the table's changes
        ├── NotAuthorized     401 or 403 for the identity, not for the row
        ├── Misconfigured     the worker itself cannot work: see ConfigurationError
        └── IntentHeld        another worker is writing this record right now

Messages are sentences for a person: what was wrong, where, and what to do. They never hold a secret.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final


class SyncError(Exception):
    """The root. `reason` is the stable code that parked messages, logs and alerts use."""

    reason: ClassVar[str] = "sync_error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Keep what is known of the failure.

        Args:
            message: One or two sentences for a person.
            field: The CMMS name of the field at fault, if one is.
            status: The HTTP status that the failure came with.
            code: The service's own error code, such as `0x80060882`.
            request_id: The service's id of the failed request, for a support case.
        """
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status
        self.code = code
        self.request_id = request_id


class ConfigurationError(SyncError):
    """The installation is wrong, not the message."""

    reason = "configuration_error"


class RoutingFailed(SyncError):
    """A retry copy or a parked copy could not be sent: nothing may be acknowledged."""

    reason = "routing_failed"


class PermanentError(SyncError):
    """Trying again cannot help."""

    reason = "permanent"


class InvalidMessage(PermanentError):
    """The message is not one of the contract's."""

    reason = "invalid_message"


class TooLarge(InvalidMessage):
    """A queue takes no message as large as some of those that were to be sent; all others were sent."""

    reason = "too_large"

    def __init__(self, message: str, *, refused: Sequence[object]) -> None:
        """`refused`: the messages that were not sent, as they were given to the bus."""
        super().__init__(message)
        self.refused = tuple(refused)


class VersionInTheFuture(InvalidMessage):
    """A message's version is further ahead than clocks differ: each later message would be older than this one."""

    reason = "version_in_the_future"


class MappingError(PermanentError):
    """A value does not fit the rule of its field; `field` is always set for a value's fault."""

    reason = "mapping_error"


class LookupNotFound(MappingError):
    """No row of the other table, or no single one, has the code that a field refers to."""

    reason = "lookup_not_found"


class DoesNotConverge(MappingError):
    """A side keeps turning what we write back into something else."""

    reason = "does_not_converge"


class RejectedByTarget(PermanentError):
    """A side refused the row; `field` is set where its answer named one."""

    reason = "rejected_by_target"


class NoEffect(PermanentError):
    """A side confirmed a write of a field and still holds what it held before: the column may be read-only."""

    reason = "no_effect"


class MassClear(PermanentError):
    """One field would be emptied in many records at once, and filled in few: a person says whether that is meant."""

    reason = "mass_clear"


class CurrencyChanged(PermanentError):
    """A row has another currency than when both sides last agreed: its figures mean something else."""

    reason = "currency_changed"


class KeyNotUsable(PermanentError):
    """The business key cannot identify one record on both sides."""

    reason = "key_not_usable"

    def __init__(
        self, message: str, *, field: str | None = None, row_id: str | None = None, key: str | None = None
    ) -> None:
        """`row_id`: the Dynamics row that has the key and should not. `key`: the key, where it is text."""
        super().__init__(message, field=field)
        self.row_id = row_id
        self.key = key


class RecordClosed(PermanentError):
    """The Dynamics row is in a state that refuses edits."""

    reason = "record_closed"


class LedgerUnreadable(PermanentError):
    """The ledger's row of one record is not what this version of the product writes.

    `identity` names the record, such as `cmms 4711`.
    """

    reason = "ledger_unreadable"

    def __init__(self, message: str, *, identity: str) -> None:
        super().__init__(message)
        self.identity = identity


class LinkTooLarge(PermanentError):
    """The ledger cannot hold all that it should remember of one record."""

    reason = "link_too_large"


class WentBack(PermanentError):
    """A side shows an older state than the ledger has seen: an operator decides which side's values count."""

    reason = "went_back"


class RowReplaced(PermanentError):
    """The row was deleted in Dynamics and then made again: an operator decides whether it is the record's."""

    reason = "row_replaced"


class RecordGone(PermanentError):
    """The row was deleted in Dynamics: an operator decides, because a deletion there may be meant."""

    reason = "gone_from_dynamics"


class RecordMissing(PermanentError):
    """The CMMS's list leaves a record out that both sides had: it may be hidden, filtered or deleted by hand."""

    reason = "gone_from_cmms"


class TransientError(SyncError):
    """Worth trying again. `retry_after` is the least wait that the service asked for."""

    reason = "transient"

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        field: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, field=field, status=status, code=code, request_id=request_id)
        self.retry_after = retry_after

    @property
    def least_wait(self) -> timedelta:
        """The least wait before another try; none where the service asked for none."""
        return self.retry_after or timedelta()


class MessageTransient(TransientError):
    """Of this message alone: counts as an attempt."""


class Conflict(MessageTransient):
    """The record changed between our read and our write."""

    reason = "conflict"


class KeyTaken(Conflict):
    """Another row or record holds the business key that was to be written."""


class NotYetVisible(MessageTransient):
    """What the message announced cannot be read yet."""

    reason = "not_yet_visible"


class LookupPending(MessageTransient):
    """The row that a field refers to belongs to an entity of the mapping: it may not have been created yet."""

    reason = "lookup_pending"


class Unexpected(MessageTransient):
    """A fault of ours. Trying again may help; parking after the last attempt makes it visible."""

    reason = "unexpected"


class TargetTransient(TransientError):
    """Of a whole side: every message waits for the same thing, so it does not count as an attempt."""


class Throttled(TargetTransient):
    """The service asked us to slow down."""

    reason = "throttled"


class Unavailable(TargetTransient):
    """No usable answer arrived. Unless `sent` is False, a write may or may not have happened."""

    reason = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        retry_after: timedelta | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status, code=code, request_id=request_id)
        self.sent = sent


class NotReady(TargetTransient):
    """A side lacks something that must be set up before it may be written to, such as an active alternate key."""

    reason = "not_ready"


class DeltaRefused(NotReady):
    """Dynamics refused a read of changes: everything has to be read again."""


class NotAuthorized(TargetTransient):
    """The service does not accept our identity, or the identity lacks a privilege."""

    reason = "not_authorized"


class Misconfigured(TargetTransient):
    """The worker cannot work until its settings or its mapping are corrected: every message waits for that."""

    reason = ConfigurationError.reason


class IntentHeld(TargetTransient):
    """Another worker has announced a write to this record and may still be at it, or a write may still land.

    `ends_in` is the time after which a try is worthwhile at the latest.
    """

    reason = "intent_held"

    def __init__(self, message: str, *, ends_in: timedelta) -> None:
        super().__init__(message)
        self.ends_in = ends_in


DEAD_LETTERED: Final = "dead_lettered"
"""The reason of what the broker gave up: no failure of ours, and therefore no class."""


def reasons() -> frozenset[str]:
    """Every reason that a parked message may carry."""
    found: set[str] = {DEAD_LETTERED}
    pending: list[type[SyncError]] = [SyncError]
    while pending:
        one = pending.pop()
        found.add(one.reason)
        pending.extend(one.__subclasses__())
    return frozenset(found)
