"""Whether both systems and the ledger, as they stand, do justice to all that people said."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.attack.journal import Held, Journal, Said
from tests.simulation.tables import CHOICES, DEAD_STATE, ONE_WAY, TO_ESTADO, TO_STATUS

EVERYTHING = "*"


@dataclass(frozen=True)
class Shown:
    """One record of either side, or both: places to values. `closed` is the state of rows of deleted records."""

    values: Mapping[str, Held]
    identity: str
    closed: bool = False


@dataclass(frozen=True)
class Remembered:
    """What the ledger holds of a record: bases by field, values that lost, parked fields, and what is under way.

    `kept` are fields with values that a side keeps although the side that alone may say them says nothing.
    """

    bases: Mapping[str, tuple[Held, Held]] = field(default_factory=dict)
    lost: frozenset[Held] = frozenset()
    kept: frozenset[tuple[str, Held]] = frozenset()
    parked: Mapping[str, str] = field(default_factory=dict)
    under_way: bool = False


@dataclass(frozen=True)
class Scene:
    """Everything at one moment, by entity and record. `columns` are the mapped fields' of each entity."""

    journal: Journal
    columns: Mapping[str, Mapping[str, str]]
    cmms: Mapping[str, Mapping[str, list[Shown]]]
    dynamics: Mapping[str, Mapping[str, list[Shown]]]
    ledger: Mapping[str, Mapping[str, Remembered]]
    parked: Mapping[tuple[str, str], frozenset[str]]
    """The fields of the messages in the queue `parked`, by entity and record."""
    reported: frozenset[tuple[str, str]] = frozenset()
    """Records of which the report of drift tells a person."""
    recorded: Mapping[str, frozenset[Held]] = field(default_factory=dict)
    """Losers that a ledger named before it was restored itself."""

    def records(self, entity: str) -> set[str]:
        """Whatever either side holds of an entity."""
        return {*self.cmms[entity], *self.dynamics[entity]}

    def remembered(self, entity: str, record: str) -> Remembered:
        """What the ledger holds of a record."""
        return self.ledger[entity].get(record, Remembered())

    def is_held(self, entity: str, record: str) -> bool:
        """Whether a whole record waits for a person, who is told of it by a message or by the report."""
        return (entity, record) in self.reported or self.waits(entity, record, EVERYTHING)

    def waits(self, entity: str, record: str, name: str) -> bool:
        """Whether a field waits for a person, who is told of it by a parked message."""
        parked = self.remembered(entity, record).parked.keys() & {name, EVERYTHING}
        return bool(parked) and bool(self.parked.get((entity, record), frozenset()) & {*parked, EVERYTHING})


def erased(scene: Scene) -> Iterator[str]:
    """Last words of people that no side holds, no conflict names, and no parked message stands for."""
    for entity, columns in scene.columns.items():
        for record in sorted(scene.records(entity)):
            remembered = scene.remembered(entity, record)
            kept = {*_held(scene.cmms[entity].get(record, [])), *_held(scene.dynamics[entity].get(record, []))}
            kept |= remembered.lost | scene.recorded.get(record, frozenset())
            for said in scene.journal.last_words(record):
                if said.value is None or said.value in kept or _went_with_its_record(scene, entity, said):
                    continue
                name = _field(columns, said)
                if not scene.waits(entity, record, name):
                    now = _now(scene, entity, record, name)
                    yield f"{entity} {record} {name}: {said.side} said {said.value!r}, and now {now}"


def filled_again(scene: Scene) -> Iterator[str]:
    """Fields that a person emptied, and in which both sides hold again what was in them, without a record of it."""
    for entity, columns in scene.columns.items():
        for record in sorted(scene.records(entity)):
            for said in scene.journal.last_words(record):
                name = _field(columns, said)
                if said.value is not None or name not in columns or _went_with_its_record(scene, entity, said):
                    continue
                on_record = (name, said.over) in scene.remembered(entity, record).kept
                again = all(held == {said.over} for held in _holdings(scene, entity, record, name))
                if said.over is not None and again and not on_record and not scene.waits(entity, record, name):
                    yield f"{entity} {record} {name}: {said.side} emptied it, and both sides hold {said.over!r} again"


def disagreeing(scene: Scene) -> Iterator[str]:
    """Fields that differ, records without a row, and rows without a record, of which nobody tells a person."""
    for entity, columns in scene.columns.items():
        for record in sorted(scene.records(entity)):
            if scene.is_held(entity, record):
                continue
            records, rows = scene.cmms[entity].get(record, []), scene.dynamics[entity].get(record, [])
            deleted = record in scene.journal.deleted
            if len(records) > 1 or len(rows) > 1:
                yield f"{entity} {record}: {len(records)} records and {len(rows)} rows"
            elif records and not rows:
                yield f"{entity} {record}: a record and no row"
            elif records and deleted:
                yield f"{entity} {record}: it was deleted, and lives in the CMMS"
            elif records:
                yield from _differing(scene, entity, record, columns)
            elif not deleted:
                yield f"{entity} {record}: a row and no record"
            elif not rows[0].closed:
                yield f"{entity} {record}: the row of a deleted record is not in the state of such rows"


def _differing(scene: Scene, entity: str, record: str, columns: Mapping[str, str]) -> Iterator[str]:
    (one,), (row,) = scene.cmms[entity][record], scene.dynamics[entity][record]
    for name, column in columns.items():
        cmms, dynamics = one.values[name], row.values[column]
        stays = name in ONE_WAY and cmms is None and (name, dynamics) in scene.remembered(entity, record).kept
        if not (same(name, cmms, dynamics) or stays or scene.waits(entity, record, name)):
            yield (
                f"{entity} {record} {name}: the CMMS holds {cmms!r}, Dynamics {dynamics!r}; the"
                f" ledger parked {dict(scene.remembered(entity, record).parked)}"
            )


def misremembered(scene: Scene) -> Iterator[str]:
    """What the ledger holds otherwise than the sides do, or as being under way, at rest."""
    for entity, columns in scene.columns.items():
        for record, remembered in scene.ledger[entity].items():
            if remembered.under_way and not scene.is_held(entity, record):
                yield f"{entity} {record}: a write, or an operator's word, is still under way"
            records, rows = scene.cmms[entity].get(record, []), scene.dynamics[entity].get(record, [])
            if len(records) != 1 or len(rows) != 1 or record in scene.journal.deleted or scene.is_held(entity, record):
                continue
            for name in columns.keys() & remembered.bases.keys():
                shown = records[0].values[name], rows[0].values[columns[name]]
                if remembered.bases[name] != shown and not scene.waits(entity, record, name):
                    yield f"{entity} {record} {name}: the ledger remembers {remembered.bases[name]}, shown are {shown}"


def untold(scene: Scene) -> Iterator[str]:
    """Fields that the ledger holds as parked, and of which no message in `parked` tells a person."""
    for entity in scene.columns:
        for record, remembered in scene.ledger[entity].items():
            told = scene.parked.get((entity, record), frozenset())
            missing = {name: reason for name, reason in remembered.parked.items() if name not in told}
            if missing and EVERYTHING not in told:
                yield f"{entity} {record}: parked {missing}, and no message tells of it"


CHECKS: Mapping[str, Callable[[Scene], Iterator[str]]] = {
    "erased": erased,
    "filled again": filled_again,
    "disagreeing": disagreeing,
    "misremembered": misremembered,
    "untold": untold,
}
MET_AGAIN = tuple(name for name in CHECKS if name != "filled again")
"""The checks that hold where fields meet for the first time again as well: a value beats an empty field there."""


def same(name: str, cmms: Held, dynamics: Held) -> bool:
    """Whether the two sides say the same of a field."""
    if name not in CHOICES or None in {cmms, dynamics}:
        return cmms == dynamics
    return str(TO_STATUS.get(str(cmms))) == dynamics or TO_ESTADO.get(int(str(dynamics))) == cmms


def closed(entity: str, state: int) -> bool:
    """Whether a row's state is that of rows whose records were deleted."""
    return state == DEAD_STATE[entity]


def _held(shown: list[Shown]) -> set[Held]:
    return {value for one in shown for value in one.values.values()}


def _holdings(scene: Scene, entity: str, record: str, name: str) -> tuple[set[Held], set[Held]]:
    """What a field holds in the CMMS and in Dynamics."""
    records, rows = scene.cmms[entity].get(record, []), scene.dynamics[entity].get(record, [])
    return {one.values[name] for one in records}, {row.values[scene.columns[entity][name]] for row in rows}


def _field(columns: Mapping[str, str], said: Said) -> str:
    if said.side == "cmms":
        return said.place
    return next((name for name, column in columns.items() if column == said.place), said.place)


def _went_with_its_record(scene: Scene, entity: str, said: Said) -> bool:
    """Whether a person deleted the record or the row in which the value was, which may have been made again since."""
    if said.record in scene.journal.deleted:
        return True
    held = scene.journal.rows_deleted.get(said.record)
    return held is not None and (said.value in held or not scene.dynamics[entity].get(said.record))


def _now(scene: Scene, entity: str, record: str, name: str) -> str:
    column = scene.columns[entity].get(name, name)
    cmms = [one.values.get(name) for one in scene.cmms[entity].get(record, [])]
    rows = [one.values.get(column) for one in scene.dynamics[entity].get(record, [])]
    return f"the CMMS holds {cmms}, Dynamics {rows}, the ledger parked {dict(scene.remembered(entity, record).parked)}"
