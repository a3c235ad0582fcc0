"""What a side refused: known again by a digest, so that the same value is neither sent nor parked twice."""

from collections.abc import Iterable, Sequence
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


def source_digest(entity: EntityMapping, write: FieldWrite) -> str:
    """Recognise the value of the other side that a write carries."""
    return value_digest(entity, write.field, write.source)


def loop_digest(write: FieldWrite) -> str:
    """Recognise the two values between which two rules go to and fro, whichever of them is written next."""
    return digest(sorted((write.source or "", write.before or "")))


def refused_now(entity: EntityMapping, writes: Iterable[FieldWrite], refused: Sequence[Blocked]) -> list[Blocked]:
    """The blocks of the writes that a side has refused just now, and that would be sent again.

    Either side may have moved on since the refusal: then another value is sent.
    """
    if not refused:
        return []  # mostly: no digest need be made
    sent = {(one.field, other(one.side), source_digest(entity, one)) for one in writes}
    return [one for one in refused if (one.field, one.side, one.digest) in sent]


def known_refusals(link: Link, insists_on: frozenset[str], digests: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Find the values that would be sent and were refused before.

    Args:
        link: Remembers the refusals as parked fields.
        insists_on: The reasons that stop nothing any more.
        digests: Fields' names, each with the digest of the value that would be sent.

    Returns:
        The names of the fields that are parked for such a value, and for a reason on which no person insists.
    """
    lasting = LASTING - insists_on
    known = {(name, parked.digest) for name, parked in link.parked.items() if parked.reason in lasting}
    if not known:
        return frozenset()  # mostly: no digest need be made
    return frozenset(name for name, _ in known.intersection(digests))


def without_refused(decision: Decision, link: Link, context: Context) -> Decision:
    """Stop a plan of which a whole write was refused.

    Returns:
        The decision; in its place a plan that only parks where the write was refused just now, or that does nothing
        where the record was parked for the write before and nobody insists.
    """
    # Mostly nothing was refused, and no digest need be made.
    if isinstance(decision, Wait) or not (context.refused or RECORD in link.parked):
        return decision
    digests = set(map(_whole_digest, decision.writes))
    fresh = [block for block in context.refused if block.field == RECORD and block.digest in digests]
    parked = link.park_of(RECORD)
    known = parked.digest in digests and parked.reason not in context.insists_on
    return Plan(decision.stored, link, blocked=tuple(fresh[:1])) if fresh or known else decision
