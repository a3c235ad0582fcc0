"""A standard Field Service organization: provision makes what the mapping needs, and check finds nothing else."""

from collections.abc import Callable
from copy import replace
from typing import Any

import pytest

from local.emulators.dataverse.reference_tables import reference_tables
from local.emulators.dataverse.schema import AlternateKey, ColumnType
from shared.adapters.clock import SystemClock
from shared.domain.schema.mapping import Mapping
from shared.flows.operate.check import Level
from shared.flows.operate.provision import Provisioner
from shared.flows.operate.webhook_steps import Webhook
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping
from tests.ops.check.parts import bad, findings, world
from tests.ops.conftest import APPLICATION, HEADER, SECRET, URL, Organization, carry_out, verbs

SALES, PURCHASE = (
    load_mapping(DOCUMENT_MAPPING.with_name(f"field_service{name}.toml")) for name in ("", "_purchase_orders")
)


async def provisioned(organization: Organization, mapping: Mapping) -> dict[str, list[str]]:
    """Set the organization up as an administrator would, and give the plan."""
    for table in reference_tables():
        if table.name not in organization.dataverse.tables:
            table.keys.clear()
            organization.dataverse.install(table)
    for name, column in (("account", "accountnumber"), ("contact", "employeeid"), ("product", "productnumber")):
        keys = organization.dataverse.tables[name].table.keys
        keys["cust_Key"] = AlternateKey("cust_Key", (column,))
    keys = organization.dataverse.tables["msdyn_functionallocation"].table.keys
    keys["cust_Key"] = AlternateKey("cust_Key", ("cmms_code",))
    provisioner = Provisioner(organization.platform, mapping, SystemClock(), Webhook(URL, HEADER, SECRET))
    plan = await provisioner.plan(columns=True)
    await carry_out(plan)
    assert verbs(await provisioner.plan()).keys() == {"keep"}
    return verbs(plan)


@pytest.mark.parametrize("mapping", [SALES, PURCHASE], ids=["sales orders", "purchase orders"])
async def test_provision_makes_every_missing_column_and_check_is_content(
    organization: Organization, mapping: Mapping
) -> None:
    plan = await provisioned(organization, mapping)
    assert "cannot" not in plan
    columns = organization.dataverse.tables["msdyn_customerasset"].table.columns
    assert columns["cmms_critical"].type is ColumnType.BOOLEAN
    assert columns["cmms_runninghours"].type is ColumnType.INTEGER
    assert columns["cmms_serialnumber"].max_length == 100
    assert bad(await findings(world(organization, mapping=mapping))) == []


def bind(name: str) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        column = organization.dataverse.tables["msdyn_customerasset"].table.columns["msdyn_account"]
        column.targets = {"account": name}

    return change


def other_target(organization: Organization) -> None:
    column = organization.dataverse.tables["msdyn_customerasset"].table.columns["msdyn_account"]
    column.targets = {"contact": "msdyn_account"}


def no_table(organization: Organization) -> None:
    del organization.dataverse.tables["product"]


def no_key_column(organization: Organization) -> None:
    del organization.dataverse.tables["product"].table.columns["productnumber"]
    organization.dataverse.tables["product"].table.keys.clear()


def no_alternate_key(organization: Organization) -> None:
    organization.dataverse.tables["product"].table.keys.clear()


def other_set(organization: Organization) -> None:
    organization.dataverse.tables["product"].table.set_name = "productos"


def deny(*privileges: str) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        user = organization.dataverse.users[APPLICATION]
        organization.dataverse.put_user(replace(user, denied=frozenset(privileges)))

    return change


def text_column(organization: Organization) -> None:
    organization.dataverse.tables["msdyn_customerasset"].table.columns["cmms_critical"].type = ColumnType.STRING


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (bind("msdyn_Account"), Level.ERROR, "msdyn_account", "is msdyn_Account, not msdyn_account"),
        (other_target, Level.ERROR, "msdyn_account", "does not refer to account"),
        (no_table, Level.ERROR, "msdyn_product", "the table product does not exist"),
        (no_key_column, Level.ERROR, "msdyn_product", "product has no column productnumber"),
        (no_alternate_key, Level.WARNING, "msdyn_product", "product.productnumber is no alternate key"),
        (other_set, Level.ERROR, "msdyn_product", "has the set productos"),
        (deny("AppendTo:account"), Level.ERROR, "account", "lacks prvAppendToaccount"),
        (deny("Append:msdyn_customerasset"), Level.ERROR, "msdyn_customerasset", "lacks prvAppendmsdyn_customerasset"),
        (text_column, Level.ERROR, "cmms_critical", "is String, and the field critico is boolean"),
    ],
)
async def test_what_is_wrong_with_a_lookup_is_said_with_what_to_do(
    organization: Organization, break_it: Callable[[Organization], Any], level: Level, subject: str, says: str
) -> None:
    await provisioned(organization, PURCHASE)
    break_it(organization)
    found = bad(await findings(world(organization, mapping=PURCHASE)))
    assert {(one.level, one.subject) for one in found} == {(level, subject)}
    assert says in found[0].message
    assert found[0].action
