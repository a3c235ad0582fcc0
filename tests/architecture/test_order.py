"""The orders in which the suite runs, and in which the engine is read."""

import re
from pathlib import Path

import pytest

from shared.flows import sync
from tests.conftest import FIRST

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", FIRST)
def test_what_is_to_run_first_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_engine_s_reading_order_names_each_of_its_modules_once() -> None:
    named = re.findall(r"`(\w+)`", sync.__doc__ or "")
    modules = [path.stem for path in (ROOT / "shared" / "flows" / "sync").glob("[!_]*.py")]
    assert sorted(named) == sorted(modules)
