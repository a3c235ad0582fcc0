"""A preflight of the data on both sides: what a first sync would park, counted, with examples."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.model import Record, Side, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.words import plural, word_for
from shared.errors import LookupNotFound, MappingError, SyncError
from shared.flows.operate.check.findings import Finding, error, ok, warning
from shared.flows.ports.engine import Cmms, Dynamics

EXAMPLES: Final = 3
_SIDES: Final[dict[Side, str]] = {"cmms": "Energy CMMS", "dynamics": "Dynamics"}


@dataclass
class _Tally:
    count: int = 0
    examples: list[str] = field(default_factory=list)
    message: str = ""

    def add(self, example: str, message: str = "") -> None:
        self.count += 1
        self.message = self.message or message
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count}, such as {', '.join(self.examples)}{more}"


@dataclass
class _Keys:
    """The keys of one side: how often each folded form was seen, with its first spelling."""

    first: dict[str, str] = field(default_factory=dict)
    doubled: _Tally = field(default_factory=_Tally)
    alike: _Tally = field(default_factory=_Tally)
    unusable: _Tally = field(default_factory=_Tally)
    empty: int = 0


async def preflight(entity: EntityMapping, dynamics: Dynamics, cmms: Cmms | None) -> AsyncIterator[Finding]:
    """Read one entity on both sides, page by page; memory grows with the keys only.

    Raises:
        SyncError: A side could not be read.
    """
    async for finding in _side(entity, "dynamics", dynamics.pages(entity)):
        yield finding
    if cmms is not None:
        codes = _Codes(entity)
        async for finding in _side(entity, "cmms", codes.seen(cmms.pages(entity))):
            yield finding
        problems = await dynamics.unresolved(entity, codes.values())
        for finding in _code_findings(entity, codes, problems):
            yield finding


class _Codes:
    """The codes of one side's lookups, with how many records have each: memory grows with the codes only."""

    def __init__(self, entity: EntityMapping) -> None:
        self._names = [rule.name for rule in entity.lookups]
        self.counts: Counter[tuple[str, str]] = Counter()

    async def seen(self, pages: AsyncIterator[Sequence[Record]]) -> AsyncIterator[Sequence[Record]]:
        """Pass pages on, and count their codes."""
        async for page in pages:
            self.counts.update(
                (name, code) for record in page for name in self._names if (code := record.values.get(name)) is not None
            )
            yield page

    def values(self) -> list[Values]:
        """The codes as if each were a record's."""
        return [{name: code} for name, code in self.counts]


def _code_findings(
    entity: EntityMapping, codes: _Codes, problems: Mapping[tuple[str, str], SyncError]
) -> Iterator[Finding]:
    area = f"{entity.name} data in {_SIDES['cmms']}"
    for rule in entity.lookups:
        # A row of the mapping that is not there yet is made by the first sync itself.
        wrong = [
            code for name, code in problems if name == rule.name and isinstance(problems[name, code], LookupNotFound)
        ]
        if wrong:
            records = sum(codes.counts[rule.name, code] for code in wrong)
            where = " or ".join(f"{target.table}.{target.key}" for target in rule.targets)
            shown = ", ".join(sorted(wrong)[:EXAMPLES])
            more = ", ..." if len(wrong) > EXAMPLES else ""
            codes_of = f"{plural(len(wrong), 'code')} of {plural(records, 'record')}"
            are = word_for(len(wrong), "is")
            message = f"{codes_of} {are} in no single row of {where}: {shown}{more}"
            yield error(area, rule.name, message, "create the rows, or correct the codes: such fields are parked")


async def _side(entity: EntityMapping, side: Side, pages: AsyncIterator[Sequence[Record]]) -> AsyncIterator[Finding]:
    keys = _Keys()
    fields: dict[str, _Tally] = {}
    count = 0
    async for page in pages:
        for record in page:
            count += 1
            _look_at_key(entity, record, keys)
            _look_at_values(entity, side, record, fields)
    area = f"{entity.name} data in {_SIDES[side]}"
    findings = [*_key_findings(area, side, keys), *_field_findings(area, fields)]
    for finding in findings:
        yield finding
    if not findings:
        yield ok(area, "records", f"{count}, and every one can be synchronized")
    else:
        yield ok(area, "records", f"{count} looked at")


def _look_at_key(entity: EntityMapping, record: Record, keys: _Keys) -> None:
    if not record.key:
        keys.empty += 1
        return
    if (problem := entity.key_error(record.key)) is not None:
        keys.unusable.add(repr(record.key[:60]), problem.message)
        return
    # As Dynamics compares by default: without regard to case and to spaces at the end.
    folded = record.key.casefold().rstrip()
    first = keys.first.setdefault(folded, record.key)
    if first is not record.key:
        (keys.doubled if first == record.key else keys.alike).add(
            record.key if first == record.key else f"{first} and {record.key}"
        )


def _look_at_values(entity: EntityMapping, side: Side, record: Record, fields: dict[str, _Tally]) -> None:
    for name, bad in record.errors.items():
        fields.setdefault(name, _Tally()).add(record.key or "a record without a key", bad.error.message)
    for rule in entity.fields.values():
        value = record.values.get(rule.name)
        if value is None or rule.source not in {None, side}:
            continue
        try:
            if side == "cmms":
                rule.to_dynamics(value)
            else:
                rule.to_cmms(value)
        except MappingError as problem:
            fields.setdefault(rule.name, _Tally()).add(record.key or "a record without a key", problem.message)


def _key_findings(area: str, side: Side, keys: _Keys) -> list[Finding]:
    findings: list[Finding] = []
    if keys.empty:
        message = f"empty in {plural(keys.empty, 'record')}: what has no key is not synchronized"
        findings.append(warning(area, "keys", message, "fill the key in where the record should be on both sides"))
    if keys.doubled.count:
        why = "the alternate key cannot become Active" if side == "dynamics" else "only one of each can be synchronized"
        findings.append(error(area, "keys", f"doubled: {keys.doubled}; {why}", "keep one of each"))
    if keys.alike.count:
        message = f"differing only by case or spaces: {keys.alike}; Dynamics takes them for the same"
        findings.append(error(area, "keys", message, "correct one of each"))
    if keys.unusable.count:
        message = f"unusable: {keys.unusable}. {keys.unusable.message}"
        findings.append(error(area, "keys", message, "correct them at their source"))
    return findings


def _field_findings(area: str, fields: dict[str, _Tally]) -> list[Finding]:
    return [
        error(
            area, name, f"{tally.message} Records: {tally}", "such fields are parked; the rest of the record proceeds"
        )
        for name, tally in sorted(fields.items())
    ]
