"""Everything at a glance: what of it concerns a person, and that one part that is away costs the rest nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from ops.commands.status import code_of, document
from ops.session import ExitCode
from shared.adapters.ledger import SqliteLedger
from shared.errors import Unavailable
from shared.flows.operate.overview import Overseer, Overview
from shared.flows.operate.parked import Survey, Waiting
from shared.flows.reconcile.checkpoint import BrakeState
from shared.flows.reconcile.first_sync import EntityProgress, Progress, store_progress
from tests.ops.desks import waiting

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Queues:
    def __init__(self, *, gone: str = "", parked: int = 0, **surveys: Survey) -> None:
        self.gone = gone
        self.parked = parked
        self.surveys = surveys

    async def survey(self, queue: str, at_most: int = 5000) -> Survey:
        if queue == self.gone:
            raise Unavailable(f"The queue {queue} cannot be used.")
        return self.surveys.get(queue, Survey())

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        if queue == self.gone:
            raise Unavailable(f"The queue {queue} cannot be used.")
        yield [waiting(number, "conflict" if number % 3 else "mapping_error") for number in range(self.parked)]


async def answers() -> None:
    return None


async def silent() -> None:
    raise Unavailable("No answer.")


async def look(
    queues: Queues, brake: BrakeState | None = None, *, cmms: bool = True, first_sync: Progress | None = None
) -> Overview:
    state = SqliteLedger(":memory:")
    try:
        if first_sync is not None:
            await store_progress(state, first_sync)
        if brake is not None:
            await state.put_state({"reconcile/brake": brake.model_dump_json()})
        probes = [("Dynamics", answers), ("CMMS", answers if cmms else silent)]
        return await Overseer(queues, state, probes, lambda: NOW).look()  # type: ignore[arg-type]
    finally:
        state.close()


async def test_where_all_is_well_nothing_concerns_a_person() -> None:
    view = await look(Queues(assets=Survey(5, 2, oldest=NOW - timedelta(minutes=2))))
    assert (view.concerns, code_of(view)) == ((), ExitCode.FINE)
    assert document(view)["parked"] == {}


@pytest.mark.parametrize(
    ("queues", "says"),
    [
        (Queues(assets=Survey(dead=21)), "assets has 21 dead letters"),
        (Queues(orders=Survey(9, oldest=NOW - timedelta(minutes=90))), "orders has waited for 90 minutes"),
        (Queues(parked=7), "7 parked messages"),
    ],
)
async def test_what_needs_a_person_is_a_sentence_and_ends_with_1(queues: Queues, says: str) -> None:
    view = await look(queues)
    (concern,) = view.concerns
    assert says in concern
    assert code_of(view) is ExitCode.FINDINGS


async def test_parked_messages_are_counted_by_reason_the_most_frequent_first() -> None:
    view = await look(Queues(parked=7))
    assert view.parked == (("conflict", 4), ("mapping_error", 3))
    (parked,) = [one for one in view.queues if one.name == "parked"]
    assert parked.survey.waiting == 7


@pytest.mark.parametrize(("silent_for", "concerns"), [(30, 0), (90, 1), (100_000, 0)])
async def test_an_interrupted_first_sync_concerns_a_person_for_a_day(silent_for: int, concerns: int) -> None:
    at = NOW - timedelta(seconds=silent_for)
    run = Progress(run="r", started=at, at=at, entities={"asset": EntityProgress(total=9, sent=5)})
    view = await look(Queues(), first_sync=run)
    assert len(view.concerns) == concerns
    assert document(view)["first_sync"] is not None


@pytest.mark.parametrize(("allowance", "concerns"), [(0, 1), (750, 0)])
async def test_the_brake_concerns_a_person_until_it_is_released(allowance: int, concerns: int) -> None:
    view = await look(Queues(), BrakeState(held=750, ledger_rows=2000, since=NOW, allowance=allowance))
    assert len(view.concerns) == concerns


@pytest.mark.parametrize("gone", ["assets", "parked"])
async def test_a_queue_that_is_away_is_told_and_the_rest_is_shown(gone: str) -> None:
    view = await look(Queues(gone=gone, assets=Survey(5), orders=Survey(6)), cmms=False)
    assert code_of(view) is ExitCode.UNREACHABLE
    assert any(concern.startswith(f"{gone}: ") for concern in view.concerns)
    assert any(concern.startswith("CMMS: ") for concern in view.concerns)
    assert {one.name: one.survey.waiting for one in view.queues}["orders"] == 6
