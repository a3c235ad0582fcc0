"""What the tests of rule 7 share: an agreed record, a write in doubt, and another mapping."""

from shared.domain.schema.mapping import Mapping
from shared.errors import Unavailable
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.faults import Fault
from tests.kit.world import World


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S", valor_libros="10")
    await world.dirty()


async def unanswered(world: World, *faults: Fault, entity: str = "asset") -> None:
    """Leave a write to Dynamics in doubt: its answer is lost, and Dynamics cannot be asked."""
    world.dynamics.faults.next = [*faults]
    world.dynamics.faults.meanwhile = lambda: setattr(world.dynamics.faults, "away", Unavailable("away"))
    await world.dirty(entity=entity)
    world.dynamics.faults.away = None


def without(name: str, entity: str = "asset") -> Mapping:
    """The customer's mapping without one of the entity's fields, and with the stamp."""
    found = stamped(stamp=True)
    whole = found.entities[entity]
    fields = {field: rule for field, rule in whole.fields.items() if field != name}
    return found.model_copy(
        update={"entities": {**found.entities, entity: whole.model_copy(update={"fields": fields})}}
    )


def remapped(**columns: str) -> Mapping:
    """The customer's mapping with other columns for some of the asset's fields."""
    found = stamped(stamp=True)
    asset = found.entities["asset"]
    fields = {
        name: rule.model_copy(update={"column": columns[name]}) if name in columns else rule
        for name, rule in asset.fields.items()
    }
    return found.model_copy(
        update={"entities": {**found.entities, "asset": asset.model_copy(update={"fields": fields})}}
    )


def restated() -> Mapping:
    """The customer's mapping with another choice for one of the order's states, and with the stamp."""
    found = stamped(stamp=True)
    order = found.entities["order"]
    rule = order.fields["estado"]
    choices = {**rule.to_cmms_choices, 100003: "EN_ORDEN_COMPRA"}
    fields = {**order.fields, "estado": rule.model_copy(update={"to_cmms_choices": choices})}
    return found.model_copy(
        update={"entities": {**found.entities, "order": order.model_copy(update={"fields": fields})}}
    )


def restarted(make_world: MakeWorld, world: World, mapping: Mapping) -> World:
    """The same sides and ledger under another mapping."""
    other = make_world(mapping=mapping)
    for name in ("dynamics", "cmms"):
        getattr(other, name).__dict__.update(getattr(world, name).__dict__)
    other.ledger.close()
    other.ledger._db = world.ledger._db
    return other
