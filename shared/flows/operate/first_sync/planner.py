"""Makes the plan of one entity: reads, sorts out by key, and has the engine's decision judge every record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.domain.blocked import RECORD
from shared.domain.decide import Candidate, Snapshot
from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_ROW, CmmsRecord, DynamicsRecord, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.words import plural
from shared.errors import LookupPending
from shared.flows.operate.first_sync.choices import EntityChoices
from shared.flows.operate.first_sync.classify import Kind, Problem, Verdict, agree, classify
from shared.flows.operate.first_sync.load import Progress, load
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.sync.snapshot import Snapshots
from shared.flows.sync.work import Work

CHUNK: Final = 500
_BREATH: Final = 2000
_SIDES: Final = {"cmms": "the CMMS", "dynamics": "Dynamics"}
_NO_LINK: Final = Link()


@dataclass(frozen=True)
class Sources:
    """What is compared."""

    ledger: Ledger
    dynamics: Dynamics
    cmms: Cmms
    clock: Clock


class Planner:
    """Plans; nothing is written on either side, nor to the ledger."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._snapshots = Snapshots(sources.ledger, sources.dynamics, sources.cmms)

    async def plan(
        self,
        staging: Staging,
        entity: EntityMapping,
        choices: EntityChoices,
        *,
        since: datetime | None = None,
        progress: Progress = lambda _what, _count: None,
    ) -> EntityPlan:
        """Compare one entity; the list of what takes part is then in `staging`.

        Args:
            staging: Empty yet.
            entity: The records' mapping.
            choices: The operator's.
            since: When the plan was made that this one is to be compared with.
            progress: Hears of what was read and judged.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        one, now = self._sources, self._sources.clock.now()
        hidden = await load(
            staging, entity, ledger=one.ledger, dynamics=one.dynamics, cmms=one.cmms, since=since, progress=progress
        )
        plan = EntityPlan(
            entity.name,
            records=staging.count("cmms"),
            rows=staging.count("dynamics"),
            linked_records=staging.count("cmms", linked=True),
            linked_rows=staging.count("dynamics", linked=True),
            changed=staging.count("cmms", changed=True) + staging.count("dynamics", changed=True),
        )
        plan.notes += [
            f"{name} is secured against our user in Dynamics: it is left as it is." for name in sorted(hidden)
        ]
        codes = _Codes(entity)
        for identity, snapshot in _unlinked(staging):
            verdict = _quickly(entity, snapshot) or classify(entity, snapshot, choices, now)
            codes.count(snapshot.cmms, verdict)
            _judge(plan, staging, identity, snapshot, verdict)
            if sum(plan.kinds.values()) % _BREATH == 0:
                progress("judged", _BREATH)
        await self._closer(plan, staging, entity, choices, now)
        await codes.resolve(plan, one.dynamics)
        for kind, side, key, name, near in staging.noted():
            plan.kinds[kind] += 1
            problem = Problem(entity.key.name, kind.value, _NOTED[kind].format(side=_SIDES[side], near=near))
            plan.trouble(kind, problem, key or name)
        return plan

    async def _closer(
        self, plan: EntityPlan, staging: Staging, entity: EntityMapping, choices: EntityChoices, now: datetime
    ) -> None:
        """Judge by the engine's own snapshots what the ledger knows in part, or what meets another record's row."""
        identities, seen = staging.closer(), set[str]()
        for start in range(0, len(identities), CHUNK):
            part = identities[start : start + CHUNK]
            taken = await self._snapshots.take(entity, [Work(identity) for identity in part], now)
            for identity, found in zip(part, taken, strict=True):
                if not isinstance(found, Snapshot):
                    problem = Problem(RECORD, found.reason, found.message)
                    _judge(plan, staging, identity, None, Verdict(Kind.UNREADABLE, problems=(problem,)))
                    continue
                record_id = found.cmms.id
                if record_id not in seen:
                    _judge(plan, staging, identity, found, classify(entity, found, choices, now))
                    seen.update({record_id} - {""})


def _unlinked(staging: Staging) -> Iterator[tuple[Identity, Snapshot]]:
    """Every record that no link knows, as the engine would see it, with the identity by which it is handed over."""
    for record, row in staging.pairs():
        yield _as_record(record, row)
    for record in staging.only_records():
        yield _as_record(record, None)
    for row in staging.only_rows():
        link = _NO_LINK.model_copy(update={"row_id": row.id})
        yield Identity("row", row.id), Snapshot(Stored(link=link), link, row=row)


def _as_record(record: CmmsRecord, row: DynamicsRecord | None) -> tuple[Identity, Snapshot]:
    link = _NO_LINK.model_copy(update={"cmms_id": record.id, "key": record.key})
    candidates = () if row is None else (Candidate(row),)
    return Identity("cmms", record.id), Snapshot(Stored(link=link), link, cmms=record, candidates=candidates)


def _quickly(entity: EntityMapping, snapshot: Snapshot) -> Verdict | None:
    same = snapshot.candidates and agree(entity, snapshot.cmms, snapshot.candidates[0].row)
    return Verdict(Kind.EQUAL) if same else None


def _judge(plan: EntityPlan, staging: Staging, identity: Identity, snapshot: Snapshot | None, verdict: Verdict) -> None:
    key = ""
    if snapshot is not None:
        row = next((one for one in (snapshot.row, *(each.row for each in snapshot.candidates)) if one.exists), NO_ROW)
        key = next((side.key for side in (snapshot.cmms, row) if side.exists), snapshot.link.key)
        plan.closed += not row.is_open
    plan.add(key or identity.value, verdict)
    if verdict.takes_part:
        staging.add_todo(identity, key)


class _Codes:
    """The codes of lookups that would be written to Dynamics, with how many records have each."""

    def __init__(self, entity: EntityMapping) -> None:
        self._entity = entity
        self._names = frozenset(rule.name for rule in entity.lookups)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def count(self, record: CmmsRecord, verdict: Verdict) -> None:
        """Count what a verdict writes."""
        if not self._names:
            return
        names = {change.field for change in verdict.changes if change.to == "dynamics"}
        for name in self._names if verdict.creates == "dynamics" else self._names & names:
            if (code := record.values.get(name)) is not None:
                self._counts[name, code] += 1
                self._first.setdefault((name, code), record.key)

    async def resolve(self, plan: EntityPlan, dynamics: Dynamics) -> None:
        """Add to the plan what no row of Dynamics has.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """
        codes = list(self._counts)
        waits: Counter[str] = Counter()
        for start in range(0, len(codes), CHUNK):
            values: Sequence[Values] = [{name: code} for name, code in codes[start : start + CHUNK]]
            for (name, code), error in (await dynamics.unresolved(self._entity, values)).items():
                records = self._counts[name, code]
                if isinstance(error, LookupPending):
                    waits[name] += records
                else:
                    key = self._first[name, code]
                    plan.trouble(Kind.DIFFERENT, Problem(name, error.reason, error.message), key, records)
        plan.notes += [
            f"{name}: waiting for rows that Dynamics does not have yet: {plural(count, 'record')}."
            for name, count in waits.items()
        ]


_NOTED: Final = {
    Kind.KEY_UNUSABLE: "{side} has a record whose key is empty, too long, or with spaces around it.",
    Kind.KEY_DOUBLED: "The key is there more than once; this one is in {side}. Keep one of them.",
    Kind.KEY_NEARLY_EQUAL: "In {side}, and nearly the same as {near}. Write both alike, or make them differ clearly.",
}
