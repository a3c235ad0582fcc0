"""One-way mode: without the CMMS's API, what its messages said is the CMMS's side.

For each field the newest version wins, and the ledger remembers it, so that late, doubled and partial messages
change nothing that is newer.
"""

from collections.abc import Sequence

from shared.domain.ledger import Entry, Mark, Said
from shared.domain.merge import digest
from shared.domain.messages.events import DeletedData, UpsertedData
from shared.domain.model import BadValue, CmmsRecord, Value, Version
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, MappingError
from shared.flows.routing.outcomes import Park
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
        elif entry.since is not None and (item.arrived or version) < entry.since.version:
            continue  # about another record, which had the key before this one came to it
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
        self._deleted: Version | None = None
        if entry.deleted_before is not None:
            self._deleted = entry.deleted_before.version
        elif entry.deleted_at is not None and entry.since is None:
            self._deleted = Version(entry.deleted_at)
        self._heard: Version | None = None

    def deleted(self, version: Version) -> None:
        if self._deleted is None or self._deleted < version:
            self._deleted = version

    def upserted(self, data: UpsertedData, version: Version) -> None:
        if not self._lives(version):
            return
        self._heard = version if self._heard is None else max(version, self._heard)
        for name, raw in data.fields.items():
            rule = self._entity.fields.get(self._entity.names.get(name, ""))
            if rule is not None:  # else the key, or a field that is not mapped
                self._field(rule, raw, version)

    def _field(self, rule: FieldMapping, raw: object, version: Version) -> None:
        known = self._said.get(rule.name)
        if known is not None and version <= known.version:
            return
        bad = self._errors.get(rule.name)
        try:
            value = rule.from_cmms(raw)
        except MappingError as error:
            if bad is None or bad[0] < version:
                self._errors[rule.name] = (version, BadValue(error, digest(raw)))
        else:
            self._said[rule.name] = Said(value=value, at=version.at, sequence=version.sequence)
            if bad is not None and bad[0] < version:
                del self._errors[rule.name]

    def _lives(self, version: Version | None) -> bool:
        return version is not None and (self._deleted is None or self._deleted < version)

    def result(self, entry: Entry) -> tuple[Entry, CmmsRecord | None]:
        deleted = self._deleted
        said = {name: value for name, value in self._said.items() if self._lives(value.version)}
        mark = None if deleted is None else Mark(at=deleted.at, sequence=deleted.sequence)
        entry = entry.model_copy(update={"said": said, "deleted_before": mark})
        exists = bool(said) or self._lives(self._heard)
        if not exists and deleted is not None:
            return entry, CmmsRecord(entry.key, "", {}, version=deleted, deleted=True)
        # What was agreed before this mode was chosen counts as said: a base is what the CMMS held.
        values: dict[str, Value] = {name: base.cmms for name, base in entry.bases.items()}
        values |= {name: value.value for name, value in said.items()}
        if not exists and not values:
            return entry, None
        # A value that cannot be used is parked; the newest one that can be stays the CMMS's.
        bad = {name: problem for name, (version, problem) in self._errors.items() if self._lives(version)}
        return entry, CmmsRecord(entry.key, "", values, bad)
