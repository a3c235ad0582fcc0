"""Every scenario, in the order of the document."""

from typing import Final

from benchmarks.scenario import Scenario
from benchmarks.scenarios import clean

SCENARIOS: Final[tuple[Scenario, ...]] = (clean.CLEAN, clean.DOCUMENT, clean.DIRTY)
