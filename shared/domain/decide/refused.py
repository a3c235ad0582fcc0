"""What a side refused: known again by a digest, so that the same value is neither sent nor parked twice."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shared.domain.blocked import RECORD, Blocked, Refusal, digest
from shared.domain.decide.plan import Decision, Plan, Wait
from shared.domain.decide.situation import Context
from shared.domain.link import Link
from shared.domain.merge import FieldWrite
from shared.domain.model import Value, other
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Write
from shared.errors import (
    DoesNotConverge,
    KeyNotUsable,
    LookupNotFound,
    LookupPending,
    MassClear,
    NoEffect,
    RejectedByTarget,
)

ROWLESS: Final = frozenset({LookupNotFound.reason, LookupPending.reason})
"""Reasons of lookups whose code has no row: only Dynamics tells whether that is still so."""
LASTING: Final = ROWLESS | {
    error.reason for error in (RejectedByTarget, DoesNotConverge, NoEffect, MassClear, KeyNotUsable)
}
"""Reasons for which the same value is not sent again, until a person replays the message."""

type Mark = tuple[str, str]
"""A field, or `RECORD`, and the digest of what would be sent of it: see `Blocked.mark`."""


def refusal(entity: EntityMapping, name: str, write: Write, error: Refusal) -> Blocked:
    """The block of one field of a write, by the value of the other side that the write carries."""
    return Blocked(name, other(write.side), value_digest(entity, name, write.sources.get(name)), error)


def whole(write: Write, error: Refusal) -> Blocked:
    """The block of a whole write. The same write under another etag is the same refusal."""
    return Blocked(RECORD, other(write.side), _whole_digest(write), error)


def _whole_digest(write: Write) -> str:
    return digest((write.side, write.creates, write.state, sorted(write.values.items())))


def value_digest(entity: EntityMapping, name: str, source: Value) -> str:
    """Recognise a value under the present rule of its field: under another rule the value is tried again."""
    return digest((entity.rules[name].fingerprint, source))


def marks_of(entity: EntityMapping, writes: Iterable[FieldWrite]) -> Iterator[Mark]:
    """The marks by which a side's refusals of these writes are known: by the values of the other side."""
    return ((one.field, value_digest(entity, one.field, one.source)) for one in writes)


def loop_digest(write: FieldWrite) -> str:
    """Recognise the two values between which two rules go to and fro, whichever of them is written next."""
    return digest(sorted((write.source, write.before), key=str))


def refused_now(refused: Sequence[Blocked], marks: Iterable[Mark]) -> list[Blocked]:
    """The blocks of what a side has refused just now, and that would be sent again.

    Either side may have moved on since the refusal: then another value is sent.
    """
    if not refused:
        return []  # mostly: no digest need be made
    sent = frozenset(marks)
    return [one for one in refused if one.mark in sent]


def known_refusals(link: Link, insists_on: frozenset[str], marks: Iterable[Mark]) -> frozenset[str]:
    """Find the values that would be sent and were refused before.

    Args:
        link: Remembers the refusals as parked fields.
        insists_on: The reasons that stop nothing any more.
        marks: Of the values that would be sent.

    Returns:
        The names of the fields that are parked for such a value, and for a reason on which no person insists.
    """
    lasting = LASTING - insists_on
    known = {(name, parked.digest) for name, parked in link.parked.items() if parked.reason in lasting}
    if not known:
        return frozenset()  # mostly: no digest need be made
    return frozenset(name for name, _ in known.intersection(marks))


def without_refused(decision: Decision, link: Link, context: Context) -> Decision:
    """Stop a plan of which a whole write was refused.

    Returns:
        The decision; in its place a plan that only parks where the write was refused just now, or that does nothing
        where the record was parked for the write before and nobody insists.
    """
    if isinstance(decision, Wait):
        return decision
    marks = frozenset((RECORD, _whole_digest(write)) for write in decision.writes)
    fresh = refused_now(context.refused, marks)
    parked = link.park_of(RECORD)
    known = (RECORD, parked.digest) in marks and parked.reason not in context.insists_on
    return Plan(decision.stored, link, blocked=tuple(fresh[:1])) if fresh or known else decision
