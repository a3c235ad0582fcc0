"""What `check` sees of rule 7 beforehand: a mapping that is not the ledger's, and figures without their currency."""

import pytest

from shared.domain.base import Base
from shared.domain.link import Link, Stored
from shared.domain.schema.mapping import Mapping
from shared.flows.operate.check import Level
from shared.flows.operate.check.tables import compare_table
from shared.flows.operate.required import mapped_columns
from tests.fakes import document_mapping
from tests.ops.check.parts import bad, findings, world
from tests.ops.conftest import Organization


def remapped(**changes: object) -> Mapping:
    """The customer's mapping with other parts of the asset's."""
    found = document_mapping()
    asset = found.entities["asset"].model_copy(update=changes)
    return found.model_copy(update={"entities": {**found.entities, "asset": asset}})


@pytest.mark.parametrize("rule", ["another rule", None])
async def test_fields_that_the_ledger_remembers_under_another_rule_are_named(
    organization: Organization, rule: str | None
) -> None:
    await organization.provision()
    rules = document_mapping().entities["asset"].rules
    bases = {
        name: Base(cmms="x", dynamics="x", rule=rule or rules[name].fingerprint) for name in ("nombre", "valor_libros")
    }
    installation = world(organization)
    await installation.ledger.write("asset", [Stored(link=Link(cmms_id="1", row_id="r", key="A", bases=bases))])
    found = bad(await findings(installation))
    assert [(one.level, one.message.partition(":")[0]) for one in found] == (
        [(Level.WARNING, "nombre, valor_libros")] if rule else []
    )


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        (document_mapping(), "set currency = 'transactioncurrencyid'"),
        (remapped(currency="transactioncurrencyid"), "wait for a person where transactioncurrencyid changes"),
    ],
    ids=["unmapped", "mapped"],
)
async def test_money_is_named_with_what_becomes_of_its_currency(
    organization: Organization, mapping: Mapping, says: str
) -> None:
    await organization.provision()
    entity = mapping.entities["asset"]
    table = await organization.platform.table(entity.table, mapped_columns(entity))
    (line,) = [one for one in compare_table(entity, table) if one.subject == "currency"]
    assert line.message.startswith("msdyn_acquisitioncost, msdyn_currentbookvalue")
    assert line.message.endswith(says)
