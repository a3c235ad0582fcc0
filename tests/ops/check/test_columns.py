"""One mapped column broken at a time, and what check says about it."""

from collections.abc import Callable
from typing import Any

import pytest

from local.emulators.dataverse.schema import Column, ColumnType, Option, Write
from shared.flows.operate.check import Level
from tests.ops.check.parts import Break, asset, bad, broken, findings, order, world
from tests.ops.conftest import APPLICATION, Organization


def change_column(name: str, **values: Any) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        tables = (order(organization), asset(organization))
        column = next(table.columns[name] for table in tables if name in table.columns)
        for attribute, value in values.items():
            setattr(column, attribute, value)

    return change


def without_column(organization: Organization) -> None:
    del asset(organization).columns["msdyn_serialid"]


def other_type(organization: Organization) -> None:
    asset(organization).columns["msdyn_acquisitioncost"] = Column("msdyn_acquisitioncost", ColumnType.STRING)


def stamp_of(**values: Any) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        asset(organization).columns["cmms_operation"] = Column("cmms_operation", **{"type": ColumnType.STRING} | values)

    return change


def secured(name: str, *uses: str) -> Callable[[Organization], None]:
    """Secure a column of the asset; the application user keeps these uses."""

    def change(organization: Organization) -> None:
        asset(organization).columns[name].permissions = {APPLICATION: frozenset(uses)}

    return change


def no_option(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = tuple(option for option in column.options if option.value != 100001)


def option_of_another_state(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = tuple(Option(3, "In Progress", 0) if one.value == 3 else one for one in column.options)


def new_option(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = (*column.options, Option(777, "New one", 0))


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (without_column, Level.ERROR, "msdyn_serialid", "does not exist"),
        (other_type, Level.ERROR, "msdyn_acquisitioncost", "is String, and the field valor_adquisicion is decimal"),
        (change_column("msdyn_serialid", max_length=40), Level.ERROR, "msdyn_serialid", "takes 40 characters"),
        (change_column("msdyn_acquisitioncost", precision=0), Level.ERROR, "msdyn_acquisitioncost", "keeps 0 decimals"),
        (change_column("msdyn_assetnumber", max_length=10), Level.ERROR, "msdyn_assetnumber", "takes 10 characters"),
        (
            change_column("msdyn_acquisitiondate", type=ColumnType.DATETIME),
            Level.ERROR,
            "msdyn_acquisitiondate",
            "would shift by a day",
        ),
        (change_column("totalamount", on_update=Write.REFUSED), Level.ERROR, "totalamount", "read-only"),
        (change_column("totalamount", on_create=Write.REFUSED), Level.WARNING, "totalamount", "a second write"),
        (
            change_column("overriddencreatedon", on_create=Write.IGNORED),
            Level.ERROR,
            "overriddencreatedon",
            "cannot be set when a row is created",
        ),
        (stamp_of(max_length=36), Level.ERROR, "cmms_operation", "takes 36 characters, and the operation stamp needs"),
        (stamp_of(type=ColumnType.INTEGER), Level.ERROR, "cmms_operation", "is Integer, and the operation stamp is"),
        (stamp_of(on_update=Write.IGNORED), Level.ERROR, "cmms_operation", "read-only"),
        (secured("cmms_operation"), Level.ERROR, "cmms_operation", "may not read or update or create it"),
        (secured("msdyn_serialid", "read"), Level.ERROR, "msdyn_serialid", "may not update or create it"),
        (secured("msdyn_serialid", "update", "create"), Level.ERROR, "msdyn_serialid", "may not read it"),
        (no_option, Level.ERROR, "statuscode", "has no option 100001, to which RECIBIDA is mapped"),
        (option_of_another_state, Level.ERROR, "statuscode", "belongs to state 0, not 1"),
        (new_option, Level.WARNING, "statuscode", "options 777 are not in the mapping"),
        (
            change_column("msdyn_acquisitiondate", type=ColumnType.INTEGER),
            Level.ERROR,
            "msdyn_acquisitiondate",
            "is Integer, and the field fecha_adquisicion is date",
        ),
        (change_column("createdon", type=ColumnType.DATE), Level.ERROR, "createdon", "a date without a time"),
        (
            change_column("msdyn_acquisitioncost", type=ColumnType.INTEGER),
            Level.ERROR,
            "msdyn_acquisitioncost",
            "keeps no decimals",
        ),
    ],
)
async def test_one_broken_column_is_one_finding_that_says_what_to_do(
    organization: Organization, break_it: Break, level: Level, subject: str, says: str
) -> None:
    (finding,) = await broken(organization, break_it)
    assert (finding.level, finding.subject) == (level, subject)
    assert says in finding.message
    assert finding.action


async def test_a_secured_column_that_the_user_may_use_is_no_finding(organization: Organization) -> None:
    await organization.provision()
    secured("msdyn_serialid", "read", "update", "create")(organization)
    asset(organization).columns["msdyn_assettag"].permissions = {}  # not mapped
    assert bad(await findings(world(organization))) == []
