"""One-way mode: without the CMMS's API, what its messages said is the CMMS's side.

For each field the newest version wins, and the ledger remembers it, so that late, doubled and partial messages
change nothing that is newer.
"""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.events import DeletedData, UpsertedData
from shared.domain.fields import FieldMapping
from shared.domain.ledger import Entry, Said
from shared.domain.mapping import EntityMapping
from shared.domain.merge import digest
from shared.domain.model import BadValue, CmmsRecord, Value, Version
from shared.errors import InvalidMessage, MappingError
from shared.flows.outcomes import Park
from shared.flows.sync.items import Item


def listen(entity: EntityMapping, entry: Entry, items: Sequence[Item]) -> tuple[Entry, CmmsRecord | None]:
    """Add what the messages say to the ledger's memory, and give the CMMS's side as it is then known.

    A message without a version is parked: without one, late and new cannot be told apart.
    """
    ear = _Ear(entity, entry)
    for item in items:
        if not isinstance(item.payload, (UpsertedData, DeletedData)):
            continue
        version = item.version
        if version is None:
            problem = "The message says no version: send data.version (the change's instant) or the event's time."
            item.outcome = Park(InvalidMessage(problem))
        elif isinstance(item.payload, DeletedData):
            ear.deleted(version)
        else:
            ear.upserted(item.payload, version)
    return ear.result(entry)


class _Ear:
    def __init__(self, entity: EntityMapping, entry: Entry) -> None:
        self._entity = entity
        self._said = dict(entry.said)
        self._errors: dict[str, tuple[Version, BadValue]] = {}
        # A record that was born again keeps the memory of its deletion: what was said before stays unsaid.
        self._deleted_at = max(filter(None, (entry.deleted_at, entry.deleted_before)), default=None)
        self._heard_at: datetime | None = None

    def deleted(self, version: Version) -> None:
        if self._deleted_at is None or version.at > self._deleted_at:
            self._deleted_at = version.at

    def upserted(self, data: UpsertedData, version: Version) -> None:
        if self._deleted_at is not None and version.at <= self._deleted_at:
            return
        self._heard_at = max(version.at, self._heard_at or version.at)
        for name, raw in data.fields.items():
            rule = self._entity.fields.get(self._entity.names.get(name, ""))
            if rule is not None:  # else the key, or a field that is not mapped
                self._field(rule, raw, version)

    def _field(self, rule: FieldMapping, raw: object, version: Version) -> None:
        known = self._said.get(rule.name)
        if known is not None and version <= Version(known.at, known.sequence):
            return
        if rule.name in self._errors and version < self._errors[rule.name][0]:
            return
        try:
            value = rule.from_cmms(raw)
        except MappingError as error:
            self._errors[rule.name] = (version, BadValue(error, digest(raw)))
        else:
            self._said[rule.name] = Said(value=value, at=version.at, sequence=version.sequence)
            self._errors.pop(rule.name, None)

    def result(self, entry: Entry) -> tuple[Entry, CmmsRecord | None]:
        said, deleted_at = self._said, self._deleted_at
        if deleted_at is not None:
            said = {name: value for name, value in said.items() if value.at > deleted_at}
        entry = entry.model_copy(update={"said": said, "deleted_before": deleted_at})
        exists = bool(said) or (self._heard_at is not None and (deleted_at is None or self._heard_at > deleted_at))
        if not exists and deleted_at is not None:
            return entry, CmmsRecord(entry.key, "", {}, version=Version(deleted_at), deleted=True)
        # What was agreed before this mode was chosen counts as said: a base is what the CMMS held.
        values: dict[str, Value] = {name: base.cmms for name, base in entry.bases.items()}
        values |= {name: value.value for name, value in said.items()}
        bad = {name: problem for name, (_, problem) in self._errors.items()}
        if not exists and not values:
            return entry, None
        good = {name: value for name, value in values.items() if name not in bad}
        return entry, CmmsRecord(entry.key, "", good, bad)
