"""Everything that the checker looks at, once at rest."""

from collections.abc import Iterator, Sequence

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.rows import Row
from local.emulators.servicebus.memory import Delivery
from shared.domain.link import Link
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.conditions import Conditions
from tests.simulation.edits import Name
from tests.simulation.history import History
from tests.simulation.observe import Observer
from tests.simulation.tables import KEY_COLUMNS, TABLES

type Untold = tuple[str, str, str]
"""(side, entity, id) of a record or row of which something was changed without a message."""


class Evidence:
    """Both stores, the ledger and the parked messages, with the history of how it came to this."""

    def __init__(
        self,
        *,
        history: History,
        observer: Observer,
        cmms: CmmsModel,
        dataverse: Dataverse,
        links: Sequence[tuple[str, Link]],
        parked: list[Delivery],
        dead_letters: int,
        untold: set[Untold],
        conditions: Conditions,
    ) -> None:
        self.conditions = conditions
        self.history = history
        self.observer = observer
        self.cmms = cmms
        self.dataverse = dataverse
        self.links = links
        self._of_record = {(entity, link.cmms_id): link for entity, link in links if link.cmms_id is not None}
        self._of_row = {(entity, link.row_id): link for entity, link in links if link.row_id is not None}
        self.parked = [dict(delivery.message.application_properties) for delivery in parked]
        self.bodies = [delivery.message.body for delivery in parked]
        self.dead_letters = dead_letters
        self.untold = untold

    def rows(self, entity: str) -> Iterator[tuple[str, Row]]:
        """Every row with its business key."""
        for row in self.dataverse.tables[TABLES[entity]]:
            yield str(row.values[KEY_COLUMNS[entity]]), row

    def row(self, entity: str, row_id: str | None) -> Row | None:
        """The row with this id."""
        return next((row for _, row in self.rows(entity) if str(row.id) == row_id), None)

    def link(self, entity: str, *, record: str | None = None, row: str | None = None) -> Link | None:
        """The link of a record or of a row."""
        return self._of_record.get((entity, record or "")) or self._of_row.get((entity, row or ""))

    def kin(self, entity: str, link: Link) -> set[Name]:
        """The records and rows that the link is or was about, with what these were ever linked with."""
        names: list[Name] = [("cmms", link.cmms_id)] if link.cmms_id is not None else []
        names += [("dynamics", link.row_id)] if link.row_id is not None else []
        return self.history.kin(entity, names)

    def is_untold(self, entity: str, link: Link | None, *, record: str | None = None, row: str | None = None) -> bool:
        """Whether something was changed of either side without a message."""
        records, rows = {record, link.cmms_id if link else None}, {row, link.row_id if link else None}
        names = {("cmms", entity, str(one)) for one in records} | {("dynamics", entity, str(one)) for one in rows}
        return bool(names & self.untold)

    def is_unheard(self, name: str) -> bool:
        """Whether nothing is to be carried of a field now: it is not mapped, or our user may not read its column."""
        rules = self.history.rules
        return name in rules.unmapped or rules.columns[name] in self.conditions.unreadable
