"""A preflight of the data on both sides: what a first sync would park, counted, with examples."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.model import Record, Side
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, MappingError
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
        async for finding in _side(entity, "cmms", cmms.pages(entity)):
            yield finding


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
    try:
        entity.usable_key(record.key)
    except KeyNotUsable as problem:
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
        message = f"{keys.empty} records have no key: they are not synchronized"
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
