"""Every scenario of `make bench` runs, in miniature: with a few records, and for its first variant only."""

import pytest

from benchmarks.catalogue import SCENARIOS
from benchmarks.scenario import MINIATURE, Scenario


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
