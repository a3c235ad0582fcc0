"""One registration of the webhook broken at a time, and what check says about it."""

import pytest

from shared.flows.operate.check import Level
from tests.ops.check.parts import Break, bad, broken, findings, world
from tests.ops.check.steps import all_wrong, narrow, no_step, off, some_endpoint, some_step, synchronous
from tests.ops.conftest import SECRET, Organization


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (synchronous, Level.ERROR, "step Update of msdyn_customerasset", "is synchronous"),
        (narrow, Level.ERROR, "step Update of msdyn_customerasset", "does not watch msdyn_acquisitioncost"),
        (off, Level.ERROR, "step Update of msdyn_customerasset", "is disabled"),
        (no_step, Level.ERROR, "step Update of msdyn_customerasset", "is not registered"),
    ],
)
async def test_one_broken_step_is_one_finding_that_says_what_to_do(
    organization: Organization, break_it: Break, level: Level, subject: str, says: str
) -> None:
    (finding,) = await broken(organization, break_it)
    assert (finding.level, finding.subject) == (level, subject)
    assert says in finding.message
    assert finding.action


@pytest.mark.parametrize(
    ("secrets", "level", "says"),
    [
        (("a-rotated-secret-of-now",), Level.ERROR, "carries another secret"),
        (("a-rotated-secret-of-now", SECRET), Level.WARNING, "before the last rotation"),
    ],
)
async def test_a_rotated_secret_is_told_without_showing_it(
    organization: Organization, secrets: tuple[str, ...], level: Level, says: str
) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, secrets=secrets)))
    assert (finding.level, finding.subject) == (level, "Energy CMMS sync")
    assert says in finding.message
    assert not any(secret in str(finding) for secret in (*secrets, SECRET))


async def test_a_registration_that_calls_another_address_is_an_error(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, url="https://other.example/hook")))
    assert "not https://other.example/hook" in finding.message


async def test_an_endpoint_registered_by_hand_leaves_its_secret_unknown(organization: Organization) -> None:
    await organization.provision()
    (endpoint,) = (await organization.client.get("serviceendpoints")).json()["value"]
    path = f"serviceendpoints({endpoint['serviceendpointid']})"
    await organization.client.patch(path, json={"description": None})
    (finding,) = bad(await findings(world(organization)))
    assert (finding.level, "cannot be known" in finding.message) == (Level.WARNING, True)


async def test_every_fault_of_one_step_is_told_at_once(organization: Organization) -> None:
    await organization.provision()
    await all_wrong(organization)
    (finding,) = bad(await findings(world(organization)))
    for part in ("is synchronous", "is disabled", "does not watch msdyn_acquisitioncost"):
        assert part in finding.message


async def test_a_step_that_provision_did_not_make_is_not_sent_to_provision(organization: Organization) -> None:
    await organization.provision()
    step = await some_step(organization)
    copied = (await organization.client.get(f"sdkmessageprocessingsteps({step})")).json()
    body = {
        "name": "Somebody else's", "mode": 1, "stage": 40, "rank": 1,
        "sdkmessageid@odata.bind": f"sdkmessages({copied['_sdkmessageid_value']})",
        "sdkmessagefilterid@odata.bind": f"sdkmessagefilters({copied['_sdkmessagefilterid_value']})",
        "eventhandler_serviceendpoint@odata.bind": await some_endpoint(organization),
    }  # fmt: skip
    answer = await organization.client.post("sdkmessageprocessingsteps", json=body)
    assert answer.status_code == 204, answer.text
    (finding,) = bad(await findings(world(organization)))
    assert "is registered 2 times" in finding.message
    assert "by hand" in finding.action
