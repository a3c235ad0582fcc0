"""What a whole run must say of itself."""

from typing import Protocol

import pytest

from tests.infra import bicep


class Terminal(Protocol):
    """The part of pytest's terminal reporter that is used here."""

    stats: dict[str, list[object]]

    def write_line(self, line: str, **markup: bool) -> None:
        """Print a line."""


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count what needs the Bicep compiler for itself: the summary of skipped tests would list it file by file."""
    if report.skipped and bicep.HOW in str(report.longrepr):
        return "untested", "u", "UNTESTED"
    return None


def pytest_terminal_summary(terminalreporter: Terminal) -> None:
    """Say once, at the end, what a missing compiler left untested; nothing is fetched for it."""
    if untested := terminalreporter.stats.get("untested"):
        terminalreporter.write_line(
            f"NOT TESTED: the Bicep templates of infra/ ({len(untested)} tests). {bicep.HOW}", yellow=True
        )
