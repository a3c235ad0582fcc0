"""Who signs in, and what the application user may do."""

from collections.abc import Callable
from copy import replace
from uuid import UUID

import pytest

from shared.errors import NotAuthorized, Unavailable
from shared.flows.operate.check import Checker, Level
from shared.flows.operate.check.live import Identity
from tests.ops.check.parts import Break, bad, broken, findings, world
from tests.ops.conftest import APPLICATION, Organization


def deny(*privileges: str) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        user = organization.dataverse.users[APPLICATION]
        organization.dataverse.put_user(replace(user, denied=frozenset(privileges)))

    return change


def disabled(organization: Organization) -> None:
    organization.dataverse.put_user(replace(organization.dataverse.users[APPLICATION], disabled=True))


def no_user(organization: Organization) -> None:
    organization.dataverse.remove_user(APPLICATION)


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (deny("Create:salesorder"), Level.ERROR, "salesorder", "lacks prvCreatesalesorder"),
        (deny("OverrideCreatedOnCreatedBy"), Level.ERROR, "salesorder", "lacks prvOverrideCreatedOnCreatedBy"),
        (disabled, Level.ERROR, "application user", "is disabled"),
        (no_user, Level.ERROR, "application user", "no application user has the client id"),
    ],
)
async def test_what_the_user_may_not_do_is_one_finding_that_says_what_to_do(
    organization: Organization, break_it: Break, level: Level, subject: str, says: str
) -> None:
    (finding,) = await broken(organization, break_it)
    assert (finding.level, finding.subject) == (level, subject)
    assert says in finding.message
    assert finding.action


async def test_a_wrong_organization_id_is_an_error(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, organization_id=UUID(int=5))))
    assert "every webhook of this organization is refused" in finding.message
    assert str(organization.dataverse.organization.id) in finding.action


async def test_a_token_for_another_audience_names_both_and_the_setting(organization: Organization) -> None:
    class Refusing:
        async def who_am_i(self) -> None:
            raise NotAuthorized("Dynamics refused our identity for GET /api/data/v9.2/WhoAmI.", status=401)

    async def elsewhere() -> Identity:
        return Identity("app", "tenant-1", "https://elsewhere.crm.dynamics.com")

    found = bad(await findings(world(organization, platform=Refusing(), sign_in=elsewhere)))
    assert [one.area for one in found] == ["dynamics"]
    assert "https://elsewhere.crm.dynamics.com" in found[0].action
    assert "DYNAMICS_365_RESOURCE_URL" in found[0].action


async def test_signing_in_that_fails_does_not_stop_the_other_checks(organization: Organization) -> None:
    async def failing() -> Identity:
        raise Unavailable("The identity service gave no token: ServiceRequestError.")

    broken = world(organization, sign_in=failing)
    checker = Checker(broken)
    found = [finding async for finding in checker.run()]
    broken.ledger.close()  # type: ignore[attr-defined]  # the SQLite one
    assert checker.unreachable
    assert {one.area for one in bad(found)} == {"sign-in"}
    assert {one.subject for one in found if one.area == "service bus"} == {"assets", "orders", "parked"}
