"""Check and provision agree: what the one sends to the other is mended by it."""

import pytest

from shared.flows.operate.check import Level
from tests.ops.check.parts import Break, bad, broken, findings, world
from tests.ops.check.steps import (
    all_wrong,
    by_hand,
    key_failed,
    moved,
    narrow,
    no_step,
    off,
    synchronous,
    tracking_off,
    without_key,
)
from tests.ops.conftest import Organization


async def test_after_provision_everything_is_ok(organization: Organization) -> None:
    await organization.provision()
    found = await findings(world(organization))
    assert bad(found) == []
    assert any("admin@contoso.com, tenant tenant-1" in finding.message for finding in found)


async def test_before_provision_it_says_what_to_run(organization: Organization) -> None:
    found = bad(await findings(world(organization)))
    assert {finding.subject for finding in found if finding.level is Level.ERROR} == {
        "alternate key on msdyn_assetnumber",
        "alternate key on name",
        "cmms_operation",
        "Energy CMMS sync",
    }
    assert all("provision" in finding.action for finding in found)


@pytest.mark.parametrize(
    "break_it", [moved, by_hand, synchronous, narrow, off, no_step, all_wrong, without_key, key_failed, tracking_off]
)
async def test_what_check_sends_to_provision_is_mended_by_provision(
    organization: Organization, break_it: Break
) -> None:
    found = await broken(organization, break_it)
    assert found
    assert all("provision" in one.action for one in found)
    plan = await organization.provision()
    assert any(change.verb in {"create", "change"} for change in plan)
    assert bad(await findings(world(organization))) == []
