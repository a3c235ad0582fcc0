"""The order in which the suite runs."""

from pathlib import Path

import pytest

from tests.conftest import FIRST

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", FIRST)
def test_what_is_to_run_first_exists(path: str) -> None:
    assert (ROOT / path).exists()
