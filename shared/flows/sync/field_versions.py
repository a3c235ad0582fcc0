"""One-way mode: without the CMMS's API, what its messages said is the CMMS's side.

Each field is a register in which the newest version wins, so that late, doubled and partial messages change nothing
that is newer. The business key is one of the fields.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType

from shared.domain.blocked import digest
from shared.domain.link import FieldVersion, Link
from shared.domain.messages.ahead import ahead_of_time
from shared.domain.messages.events import DeletedData, UpsertedData
from shared.domain.model import NO_RECORD, BadValue, CmmsRecord, Value, Version
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
    """Add what the messages say to the link's memory. What a deletion is newer than is forgotten.

    Returns:
        The link, and the CMMS's side as it is then known.
    """
    told = [(version, one) for one in deliveries if (version := one.version) is not None]
    deletions = [version for version, one in told if isinstance(one.payload, DeletedData)]
    deleted = max(filter(None, (link.deleted, *deletions)), default=None)

    def lives(version: Version) -> bool:
        return deleted is None or deleted < version

    said = {name: value for name, value in link.said.items() if lives(value.version)}
    errors: dict[str, BadValue] = {}
    # The oldest first: a usable value ends the error of an older one.
    for version, one in sorted(told, key=itemgetter(0)):
        if isinstance(one.payload, UpsertedData) and lives(version):
            _register(entity, version, {**one.payload.fields, entity.key.name: one.key}, said, errors)
    ids = [one.cmms_id for one in deliveries if one.cmms_id is not None]
    if link.cmms_id is None and ids:
        link = link.model_copy(update={"cmms_id": ids[0], "by_key": False})
    key = said.get(entity.key.name)
    # A link that only its key identifies keeps that key.
    known = link.key if key is None or link.by_key else key.value
    link = link.model_copy(update={"said": said, "deleted": deleted, "key": known})
    return link, remembered(link, errors)


def _register(
    entity: EntityMapping,
    version: Version,
    fields: Mapping[str, object],
    said: dict[str, FieldVersion],
    errors: dict[str, BadValue],
) -> None:
    """Take a message's fields into the registers `said` and `errors`, as far as they are newer."""
    for name, raw in fields.items():
        if name in said and version <= said[name].version:
            continue
        try:
            said[name] = FieldVersion(value=entity.rules[name].from_cmms(raw), version=version)
            errors.pop(name, None)
        except MappingError as error:
            errors[name] = BadValue(error, digest(raw))


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
