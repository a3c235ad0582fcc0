"""Queues, dead letters, what is parked, and the brake."""

from datetime import timedelta

import pytest

from shared.adapters.ledger import SqliteLedger
from shared.flows.operate.check import Level
from shared.flows.operate.parked import Survey
from shared.flows.reconcile.checkpoint import BrakeState, release_brake
from tests.ops.check.parts import NOW, QuietQueues, bad, findings, world
from tests.ops.conftest import Organization


async def test_an_absent_queue_is_named(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, queues=QuietQueues(absent="orders"))))
    assert (finding.area, finding.subject) == ("service bus", "orders")
    assert "ServiceBusConnection__fullyQualifiedNamespace" in finding.action


async def test_parked_messages_are_a_warning_with_their_age(organization: Organization) -> None:
    await organization.provision()
    queues = QuietQueues(oldest=NOW - timedelta(days=3))
    (finding,) = bad(await findings(world(organization, queues=queues)))
    assert (finding.level, "3 days" in finding.message) == (Level.WARNING, True)


@pytest.mark.parametrize("queue", ["assets", "orders", "parked"])
async def test_dead_letters_are_an_error_with_their_number_and_age(organization: Organization, queue: str) -> None:
    await organization.provision()
    queues = QuietQueues(surveys={queue: Survey(dead=21, oldest_dead=NOW - timedelta(hours=3))})
    (finding,) = bad(await findings(world(organization, queues=queues)))
    assert (finding.level, finding.subject) == (Level.ERROR, queue)
    assert "21 dead letters, the oldest for 3 hours" in finding.message


@pytest.mark.parametrize(("minutes", "concern"), [(1, False), (40, True)])
async def test_a_backlog_is_told_with_its_count_and_a_warning_from_a_quarter_of_an_hour(
    organization: Organization, minutes: int, concern: bool
) -> None:
    await organization.provision()
    queues = QuietQueues(surveys={"assets": Survey(16_999, 1, oldest=NOW - timedelta(minutes=minutes))})
    found = await findings(world(organization, queues=queues))
    (line,) = [one for one in found if one.subject == "assets"]
    assert "holds 17,000 messages" in line.message
    assert (line.level is Level.WARNING) is concern


async def test_the_brake_is_an_error_until_somebody_released_it(organization: Organization) -> None:
    await organization.provision()
    state = SqliteLedger(":memory:")
    brake = BrakeState(held=750, ledger_rows=2000, since=NOW)
    await state.put_state({"reconcile/brake": brake.model_dump_json()})
    (finding,) = bad(await findings(world(organization, state=state)))
    assert "holds 750 repairs" in finding.message
    assert "--release-brake" in finding.action
    await release_brake(state, "Ana")
    assert bad(await findings(world(organization, state=state))) == []
    state.close()
