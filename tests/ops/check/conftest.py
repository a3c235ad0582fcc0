"""What each test of the checks closes."""

from collections.abc import Iterator

import pytest

from tests.ops.check.parts import OPENED


@pytest.fixture(autouse=True)
def closed_ledgers() -> Iterator[None]:
    """Close the ledgers of the test's worlds."""
    yield
    for ledger in OPENED:
        ledger.close()
    OPENED.clear()
