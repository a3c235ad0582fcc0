"""What an operator says to `ops first-sync plan`: sides by field, and where missing records are created."""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from shared.flows.operate.first_sync.choices import Choices, choose
from tests.simulation.desk import Desk
from tests.simulation.edits import Side
from tests.simulation.tables import FIELDS, ONE_WAY

SIDES: Final[tuple[Side, ...]] = ("cmms", "dynamics")


@dataclass(frozen=True)
class Words:
    """What an operator says to `plan`: the side for all fields, those of single ones, and where to create."""

    overall: Side | None = None
    single: dict[tuple[str, str], Side] = field(default_factory=dict)
    create_in: str | None = None

    def choices(self, desk: Desk) -> Choices:
        """As the command reads them; a field that is not mapped now cannot be named."""
        known = [(of, name) for of, name in self.single if name in getattr(desk.mapping.entities.get(of), "fields", ())]
        prefer = [self.overall] if self.overall is not None else []
        prefer += [f"{of}.{name}={self.single[of, name]}" for of, name in known]  # type: ignore[misc]
        return choose(desk.mapping, prefer=prefer, create_in=self.create_in)

    def side(self, entity: str, name: str) -> Side | None:
        """The side that was chosen for a field, by the checker's own account; None for the field's own rule."""
        return None if name in ONE_WAY else self.single.get((entity, name), self.overall)


def drawn(rng: Random) -> Words:
    """Draw an operator's choices."""
    fields = [(entity, name) for entity, names in FIELDS.items() for name in names if name not in ONE_WAY]
    single = {one: rng.choice(SIDES) for one in rng.sample(fields, rng.randint(0, 2))}
    create_in = rng.choices((None, "both", "cmms", "dynamics", "none"), (6, 1, 1, 1, 1))[0]
    return Words(rng.choice((None, "cmms", "dynamics", "dynamics")), single, create_in)
