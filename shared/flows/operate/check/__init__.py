"""Whether everything is set up as the mapping needs it."""

from shared.flows.operate.check.findings import Finding, Level
from shared.flows.operate.check.live import Checker

__all__ = ["Checker", "Finding", "Level"]
