"""Everything that the checker looks at, once at rest."""

from collections.abc import Iterator

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.rows import Row
from local.emulators.servicebus.memory import Delivery
from shared.domain.ledger import Entry
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.history import History
from tests.simulation.observe import Observer
from tests.simulation.tables import KEY_COLUMNS, TABLES

type Key = tuple[str, str]


class Evidence:
    """Both stores, the ledger and the parked messages, with the history of how it came to this."""

    def __init__(
        self,
        *,
        history: History,
        observer: Observer,
        cmms: CmmsModel,
        dataverse: Dataverse,
        entries: dict[Key, Entry],
        parked: list[Delivery],
        dead_letters: int,
        unannounced: set[Key],
    ) -> None:
        self.history = history
        self.observer = observer
        self.cmms = cmms
        self.dataverse = dataverse
        self.entries = entries
        self.parked = [dict(delivery.message.application_properties) for delivery in parked]
        self.bodies = [delivery.message.body for delivery in parked]
        self.dead_letters = dead_letters
        self.unannounced = unannounced

    def rows(self, entity: str) -> Iterator[tuple[str, Row]]:
        """Every row with its business key."""
        for row in self.dataverse.tables[TABLES[entity]]:
            yield str(row.values[KEY_COLUMNS[entity]]), row
