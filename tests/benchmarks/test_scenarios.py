"""Every scenario of `make bench` runs, in miniature: with a few records, and for its first variant only."""

from copy import replace

import pytest

from benchmarks.catalogue import SCENARIOS
from benchmarks.clients.job import Kind
from benchmarks.clients.peers import ALL as PEERS
from benchmarks.clients.peers import Peer
from benchmarks.conditions import USUAL
from benchmarks.contestants import job
from benchmarks.load import TABLE, assets, landed
from benchmarks.scenario import MINIATURE, Scenario
from benchmarks.stack import Bench


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_yields_every_figure_of_its_row(scenario: Scenario) -> None:
    variant = scenario.variants(MINIATURE)[0]
    figures = scenario.measure(MINIATURE, variant)
    assert {column.figure for column in scenario.columns} <= figures.keys()
    assert all(value >= 0 for value in figures.values())


def test_a_scenario_has_a_name_of_its_own_and_plots_only_its_figures() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert {plot.figure for plot in scenario.plots} <= {column.figure for column in scenario.columns}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_client_tells_of_every_row_that_it_wrote(peer: Peer) -> None:
    if (why := peer.missing()) is not None:
        pytest.skip(f"{peer.label}: {why}; `make bench` installs it")
    some = list(assets(40, generation=0))
    with Bench(USUAL) as bench:
        # Several chunks for each task, answered while others are under way.
        answer = peer.finish(peer.start(replace(job(bench, some, Kind.CREATE), chunk=2)))
        assert landed(bench.rows(TABLE), some) == len(some)
    assert (answer.written, answer.given_up) == (len(some), 0)
