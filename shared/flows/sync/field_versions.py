"""One-way mode: without the CMMS's API, what its messages said is the CMMS's side.

Each field is a register in which the newest version wins, so that late, doubled and partial messages change nothing
that is newer. The business key is one of the fields.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Final

from shared.domain.blocked import digest
from shared.domain.link import FieldVersion, Link
from shared.domain.messages.events import UpsertedData
from shared.domain.model import NO_RECORD, BadValue, CmmsRecord, Version, is_until
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError
from shared.flows.sync.deliveries import Delivery

_BEFORE: Final = Version(datetime.min.replace(tzinfo=UTC))
_UNSAID: Final = FieldVersion(value=None, version=_BEFORE)
"""Stands for a field that was not said: any message is newer."""


def hear(entity: EntityMapping, link: Link, deliveries: Sequence[Delivery]) -> tuple[Link, CmmsRecord]:
    """Add what the messages say to the link's memory.

    Returns:
        The link, and the CMMS's side as it is then known.
    """
    said, errors, deleted = _registers(entity, link, deliveries)
    cmms_id = next(filter(None, (link.cmms_id, *(one.cmms_id for one in deliveries))), None)
    by_key = link.by_key and cmms_id is None
    key = said.get(entity.key.name, FieldVersion(value=link.key, version=_BEFORE)).value
    update = {"cmms_id": cmms_id, "by_key": by_key, "key": key, "said": said, "deleted": deleted}
    link = link.model_copy(update=update)
    return link, remembered(link, errors)


def unheard(link: Link) -> Link:
    """The link without what messages said: once the CMMS is read, what is agreed from then on is newer."""
    return link.model_copy(update={"said": {}, "deleted": None})


def _registers(
    entity: EntityMapping, link: Link, deliveries: Sequence[Delivery]
) -> tuple[dict[str, FieldVersion], dict[str, BadValue], Version | None]:
    """The newest value of each field, the unusable values that are newer, and the version of the newest deletion."""
    told = [(version, one) for one in deliveries if (version := one.version) is not None]
    said, deleted = _said(link), link.deleted
    errors: dict[str, BadValue] = {}
    # The oldest first: a deletion ends what was said until then, and a usable value the error of an older one.
    for version, one in sorted(told, key=itemgetter(0)):
        if is_until(version, deleted):
            continue
        if isinstance(one.payload, UpsertedData):
            _register(entity, version, {**one.payload.fields, entity.key.name: one.key}, said, errors)
        else:
            said, errors = {name: value for name, value in said.items() if version < value.version}, {}
            deleted = version
    return said, errors, deleted


def _said(link: Link) -> dict[str, FieldVersion]:
    """What the CMMS said, by the link's memory.

    What was agreed before this mode was chosen counts as said, before all messages, until the record is deleted: a base
    is what the CMMS held.
    """
    bases = link.bases if link.deleted is None else {}
    agreed = {name: FieldVersion(value=base.cmms, version=_BEFORE) for name, base in bases.items() if base.is_agreed}
    return agreed | link.said


def _register(
    entity: EntityMapping,
    version: Version,
    fields: Mapping[str, object],
    said: dict[str, FieldVersion],
    errors: dict[str, BadValue],
) -> None:
    """Take a message's fields into the registers `said` and `errors`, as far as they are newer."""
    for name, raw in fields.items():
        if version <= said.get(name, _UNSAID).version:
            continue
        try:
            said[name] = FieldVersion(value=entity.rules[name].from_cmms(raw), version=version)
            errors.pop(name, None)
        except MappingError as error:
            errors[name] = BadValue(error, digest(raw))


def remembered(link: Link, errors: Mapping[str, BadValue] = MappingProxyType({})) -> CmmsRecord:
    """The CMMS's side as the link remembers it; `NO_RECORD` where nothing was said.

    A value that cannot be used is parked; the newest one that can be used stays the CMMS's.
    """
    identity = link.cmms_id or ""
    if not link.said and link.deleted is not None:
        return CmmsRecord(link.key, "", {}, id=identity, version=link.deleted, deleted=True)
    values = {name: said.value for name, said in _said(link).items()}
    # A message whose values cannot be used has said its key, at least.
    return CmmsRecord(link.key, "", values, errors, id=identity) if values else NO_RECORD
