"""Whether everything is set up as the mapping needs it."""

from shared.flows.check.findings import Finding, Level
from shared.flows.check.live import Checker

__all__ = ["Checker", "Finding", "Level"]
