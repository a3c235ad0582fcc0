"""Every scenario, in the order of the document."""

from typing import Final

from benchmarks.scenario import Scenario
from benchmarks.scenarios import clean, edits, growth, hosts, limits, outage, two_way, webhook

SCENARIOS: Final[tuple[Scenario, ...]] = (
    clean.CLEAN,
    clean.DOCUMENT,
    clean.DIRTY,
    limits.TIGHT_LIMITS,
    limits.DOCUMENT_LIMITS,
    edits.EDITS,
    outage.OUTAGE,
    hosts.HOSTS,
    webhook.WEBHOOK,
    growth.GROWTH,
    growth.LINKS,
    two_way.TWO_WAY,
    growth.SWEEP,
    growth.START,
)
