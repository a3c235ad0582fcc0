"""What the sides answered to announced writes, and what of it blocks a field or a record. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from shared.domain.blocked import Blocked, Refusal
from shared.domain.decide.in_doubt import is_idle
from shared.domain.decide.refused import refusal, whole
from shared.domain.link import Identity, Link
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.values import is_other
from shared.domain.write import Intent
from shared.errors import KeyNotUsable, KeyTaken, LookupPending, NoEffect, PermanentError, RowReplaced, SyncError
from shared.flows.ports.engine import Failed
from shared.flows.routing.outcomes import WrittenFields
from shared.flows.routing.route import ATTEMPTS


class Answer(Struct, frozen=True):
    """An announced write with what came back.

    `record` is the row or record as stored, also where all but one refused field was; None if nothing was confirmed.
    `shown` is what the written side holds; what was written, where the answer does not say. `error` is the failure;
    None if the whole write was confirmed. `unknown` means that the write has no answer, and may nevertheless have
    happened. `left_out` names the fields that were not sent, where `error` concerns these alone.
    """

    intent: Intent
    record: Record | None
    shown: Values
    error: SyncError | None = None
    unknown: bool = False
    left_out: frozenset[str] = frozenset()

    @staticmethod
    def of(entity: EntityMapping, intent: Intent, result: Record | Failed) -> "Answer":
        """What a side answered to one write."""
        if isinstance(result, Failed):
            shown = intent.values if result.row is None else _shown(entity, intent, result.row)
            return Answer(intent, result.row, shown, result.error, result.unknown, result.left_out)
        return Answer(intent, result, _shown(entity, intent, result))

    @property
    def may_have_landed(self) -> bool:
        """Whether all or some of the write was confirmed, or no answer tells that it was not."""
        return self.unknown or self.record is not None

    @property
    def settles(self) -> bool:
        """Whether a refusal tells of every try of a create that it made nothing.

        The CMMS answers a create that it did with what it made, before it looks whose the key is.
        """
        return self.failed_in("cmms", KeyTaken, RowReplaced)

    def failed_in(self, side: Side, *kinds: type[SyncError]) -> bool:
        """Whether it is a failure of one of these kinds, of a write to that side.

        `KeyTaken`: another row of Dynamics, or another record of the CMMS, holds the key that was to be written.
        """
        return self.intent.side == side and isinstance(self.error, kinds)

    @property
    def of_another(self) -> "Answer":
        """The answer as a refusal: the record that the CMMS made of the row has a link without the row."""
        return Answer(self.intent, None, self.intent.values, _known_without_row(self.intent.id))

    @property
    def decided(self) -> set[str]:
        """The fields of which the answer tells that the write took them.

        Of a row that was written in parts, to find the field at fault, these are the fields that hold what was written,
        or that rounded to fewer decimals.
        """
        idle = self.without_effect if self.is_told else self._refused
        return self.intent.sources.keys() - {*idle, *self.left_out}

    @property
    def is_told(self) -> bool:
        """Whether what is shown is what became of each field that was sent: nothing that was sent was refused."""
        return self.error is None or bool(self.left_out)

    @property
    def _refused(self) -> list[str]:
        return [name for name, value in self.intent.values.items() if is_other(value, self.shown.get(name))]

    @property
    def without_effect(self) -> list[str]:
        """The fields that were sent and of which the side still holds what it held before; rounding is an effect."""
        sent = [name for name in self.intent.values if name not in self.left_out]
        return [name for name in sent if is_idle(self.intent, name, self.shown.get(name))]

    @property
    def written(self) -> WrittenFields:
        """What was written: of a write whose answer was lost all that was sent, of a refused one what got through."""
        if not self.may_have_landed:
            return frozenset()
        names = self.decided & self.intent.values.keys()
        if self.intent.state is not None:
            names.add("state")
        return frozenset((self.intent.side, name) for name in names)

    @property
    def state_stays(self) -> bool:
        """Whether the write of the row's state left the row in another one."""
        state, row = self.intent.state, self.record
        return state is not None and isinstance(row, DynamicsRecord) and row.state not in {None, state[0]}


def _shown(entity: EntityMapping, intent: Intent, record: Record) -> Values:
    return {**intent.values, **record.content(entity.key.name)}


def made_before(answers: Iterable[Answer]) -> Mapping[Identity, Answer]:
    """The answers to creates in the CMMS that tell what it made by an earlier try, or before the ledger was restored.

    Returns:
        Each answer by the identity of the record that was made. No other failure of the CMMS shows a record.
    """
    return {
        Identity("cmms", one.record.id): one
        for one in answers
        if isinstance(one.record, CmmsRecord) and one.error is not None
    }


def refusals(entity: EntityMapping, answers: Sequence[Answer], link: Link, attempts: int) -> Iterator[Blocked]:
    """What the sides refused: a refused value blocks its own field, a refused row or record the whole write.

    A field is blocked as well whose lookup was waited for in vain: for all attempts, now or before.
    """
    for answer in answers:
        if answer.is_told:
            yield from _without_effect(entity, answer)
        if isinstance(answer.error, PermanentError):
            yield _refused(entity, answer.intent, answer.error)
        elif answer.failed_in("cmms", KeyTaken) and link.cmms_id is not None:
            # Another look would meet no record by the key: the row's own one is known, and lost.
            yield whole(answer.intent, _of_another_record(entity, link))
        elif isinstance(answer.error, LookupPending):
            waited = _refused(entity, answer.intent, answer.error)
            if attempts >= ATTEMPTS - 1 or waited.is_parked(link):
                yield waited


def _without_effect(entity: EntityMapping, confirmed: Answer) -> Iterator[Blocked]:
    if confirmed.state_stays:
        yield whole(confirmed.intent, _state_stays())
    for name in confirmed.without_effect:
        yield refusal(entity, name, confirmed.intent, _no_effect(entity, confirmed.intent, name))


def _refused(entity: EntityMapping, write: Intent, error: Refusal) -> Blocked:
    # Without a state that nobody says there is no row.
    if error.field in (write.sources.keys() & write.values.keys()) - write.unsaid:
        return refusal(entity, error.field, write, error)
    return whole(write, error)


def _no_effect(entity: EntityMapping, write: Intent, name: str) -> NoEffect:
    target = {"dynamics": f"Dynamics' column {entity.rules[name].column}", "cmms": "The CMMS"}[write.side]
    return NoEffect(
        f"{name}: {target} took the write and still holds what it held before. Look whether it is read-only, computed,"
        " or set back by a rule there, and correct the mapping's direction or the rule.",
        field=name,
    )


def _known_without_row(row_id: str) -> RowReplaced:
    return RowReplaced(
        f"The CMMS has made a record of the row {row_id} before, which the ledger knows without this row: it was"
        " deleted before its row was known, or the ledger was restored. If the record was deleted, deactivate the row"
        " in Dynamics. Else delete the row; where the record has no other one, have it made with an operator's resync"
        " --recreate."
    )


def _of_another_record(entity: EntityMapping, link: Link) -> KeyNotUsable:
    return KeyNotUsable(
        f"The record of the row {link.row_id} is lost, and cannot be made again: another record of the CMMS has the key"
        f" {link.key}. Correct the key of one of the two and replay, or delete the row.",
        field=entity.key.name,
        row_id=link.row_id,
    )


def _state_stays() -> NoEffect:
    return NoEffect(
        "Dynamics took the write of the row's state, and the row is still in another state. Look for a rule or plug-in"
        " there that sets the state back, and correct it, or give the row its state in Dynamics."
    )
