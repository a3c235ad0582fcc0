"""One table broken at a time, and what check says about it."""

import pytest

from local.emulators.dataverse.schema import KeyStatus
from shared.flows.operate.check import Level
from tests.ops.check.parts import Break, asset, bad, broken, findings, order, world
from tests.ops.check.steps import key_failed, tracking_off
from tests.ops.conftest import Organization


def key_pending(organization: Organization) -> None:
    asset(organization).keys["cmms_AssetKey"].status = KeyStatus.PENDING


def concurrency_off(organization: Organization) -> None:
    order(organization).optimistic_concurrency = False


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (key_pending, Level.ERROR, "alternate key on msdyn_assetnumber", "is Pending"),
        (key_failed, Level.ERROR, "alternate key on msdyn_assetnumber", "is Failed"),
        (tracking_off, Level.WARNING, "change tracking", "off"),
        (concurrency_off, Level.ERROR, "optimistic concurrency", "off"),
    ],
)
async def test_one_broken_table_is_one_finding_that_says_what_to_do(
    organization: Organization, break_it: Break, level: Level, subject: str, says: str
) -> None:
    (finding,) = await broken(organization, break_it)
    assert (finding.level, finding.subject) == (level, subject)
    assert says in finding.message
    assert finding.action


async def test_create_multiple_that_is_missing_costs_time_only(organization: Organization) -> None:
    await organization.provision()
    rows = organization.dataverse.tables["sdkmessagefilter"]
    for row in [row for row in rows if row.values["name"] == "CreateMultiple of salesorder"]:
        rows.remove(row.id)
    (finding,) = bad(await findings(world(organization)))
    assert (finding.level, finding.subject) == (Level.WARNING, "CreateMultiple")


async def test_a_table_that_does_not_exist_is_said_and_the_rest_goes_on(organization: Organization) -> None:
    await organization.provision()
    del organization.dataverse.tables["salesorder"]
    found = bad(await findings(world(organization)))
    assert [(one.area, one.subject) for one in found] == [("salesorder", "table")]
