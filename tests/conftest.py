"""What a whole run must say of itself."""

from typing import Final, Protocol

import pytest
from hypothesis import settings

from tests.infra import bicep

# A machine that has other work may stall any example: a time limit per example tells nothing.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")

FIRST: Final = (
    "tests/e2e/",
    "tests/local/",
    "tests/ops/test_on_the_stack.py",
    "tests/simulation/",
    "tests/functions/test_bytes.py",
    "tests/reconcile/test_kill.py",
    "local/emulators/servicebus/tests/test_process.py",
    "local/emulators/dataverse/tests/test_command_line.py",
)
"""Files that mostly wait for processes: at the end of a run each would keep one process of pytest busy alone."""


class Terminal(Protocol):
    """The part of pytest's terminal reporter that is used here."""

    stats: dict[str, list[object]]

    def write_line(self, line: str, **markup: bool) -> None:
        """Print a line."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; everything else keeps its order."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


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
