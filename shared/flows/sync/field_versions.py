"""One-way mode: without the CMMS's API, what its messages said is the CMMS's side.

Each field is a register in which the newest version wins, so that late, doubled and partial messages change nothing
that is newer. The business key is one of the fields.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from shared.domain.blocked import digest
from shared.domain.link import FieldVersion, Link
from shared.domain.messages.ahead import ahead_of_time
from shared.domain.messages.events import DeletedData, UpsertedData
from shared.domain.model import NO_RECORD, BadValue, CmmsRecord, Value, Version
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, MappingError, PermanentError
from shared.flows.sync.deliveries import Delivery


def unusable(delivery: Delivery, now: datetime) -> PermanentError | None:
    """Why a message of the CMMS cannot count; None where it can.

    Without a version late and new cannot be told apart; a version that has not come yet would win against everything
    until then.
    """
    if delivery.operation is not None:
        return None
    if delivery.version is None:
        return InvalidMessage(
            "The message says no version: send data.version (the change's instant) or the event's time."
        )
    return ahead_of_time(delivery.version, now)


def hear(entity: EntityMapping, link: Link, deliveries: Sequence[Delivery]) -> tuple[Link, CmmsRecord]:
    """Add what the messages say to the link's memory.

    Returns:
        The link, and the CMMS's side as it is then known.
    """
    registers = _Registers(entity, link)
    for delivery in deliveries:
        registers.apply(delivery)
    ids = [delivery.cmms_id for delivery in deliveries if delivery.cmms_id is not None]
    if link.cmms_id is None and ids:
        link = link.model_copy(update={"cmms_id": ids[0], "by_key": False})
    link = registers.remember(link)
    return link, remembered(link, registers.living_errors())


def remembered(link: Link, errors: Mapping[str, BadValue] = MappingProxyType({})) -> CmmsRecord:
    """The CMMS's side as the link remembers it; `NO_RECORD` where nothing was said.

    What was agreed before this mode was chosen counts as said: a base is what the CMMS held. A value that cannot be
    used is parked; the newest one that can be used stays the CMMS's.
    """
    identity = link.cmms_id or ""
    if not link.said and link.deleted is not None:
        return CmmsRecord(link.key, "", {}, id=identity, version=link.deleted, deleted=True)
    values: dict[str, Value] = {name: base.cmms for name, base in link.bases.items() if base.is_agreed}
    values |= {name: said.value for name, said in link.said.items()}
    return CmmsRecord(link.key, "", values, errors, id=identity) if values or errors else NO_RECORD


class _Registers:
    """The newest value of each field, by version; what a deletion is newer than is forgotten."""

    def __init__(self, entity: EntityMapping, link: Link) -> None:
        self._entity = entity
        self._said = dict(link.said)
        self._deleted = link.deleted
        self._errors: dict[str, tuple[Version, BadValue]] = {}

    def apply(self, delivery: Delivery) -> None:
        """Take one message in; one that says nothing of the record changes nothing."""
        version = delivery.version
        if version is None or not self._lives(version):
            return
        if isinstance(delivery.payload, DeletedData):
            self._deleted = version
        elif isinstance(delivery.payload, UpsertedData):
            self._register(self._entity.key_rule, delivery.key, version)
            for name, raw in delivery.payload.fields.items():
                rule = self._entity.fields.get(self._entity.names.get(name, ""))
                if rule is not None:  # else the key, or a field that is not mapped
                    self._register(rule, raw, version)

    def _register(self, rule: FieldMapping, raw: object, version: Version) -> None:
        known = self._said.get(rule.name)
        if known is not None and version <= known.version:
            return
        bad = self._errors.get(rule.name)
        try:
            value = rule.from_cmms(raw)
        except MappingError as error:
            if bad is None or bad[0] < version:
                self._errors[rule.name] = (version, BadValue(error, digest(raw)))
            return
        self._said[rule.name] = FieldVersion(value=value, version=version)
        if bad is not None and bad[0] < version:
            del self._errors[rule.name]

    def _lives(self, version: Version) -> bool:
        return self._deleted is None or self._deleted < version

    def remember(self, link: Link) -> Link:
        """The link with the registers' contents."""
        said = {name: value for name, value in self._said.items() if self._lives(value.version)}
        key = said.get(self._entity.key.name)
        # A link that only its key identifies keeps that key.
        known = link.key if link.by_key or key is None or key.value is None else key.value
        # Bases of a record that was deleted and said again are of its former life.
        return link.model_copy(update={"said": said, "deleted": self._deleted, "key": known})

    def living_errors(self) -> dict[str, BadValue]:
        """The unusable values that no newer message has replaced."""
        return {name: problem for name, (version, problem) in self._errors.items() if self._lives(version)}
