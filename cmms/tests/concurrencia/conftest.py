"""What only a database with several writers shows: collected on a server, by `on_database.py`."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections

TOKEN = "first-token-of-the-tests"
on_a_server = os.environ.keys() & {"CMMS_TESTS_POSTGRESQL", "CMMS_TESTS_MARIADB"}
collect_ignore_glob = [] if on_a_server else ["test_*.py"]


@pytest.fixture(autouse=True)
def configuration(settings: Any, transactional_db: None) -> Iterator[dict[str, Any]]:
    """The demo's setting with a token and long time-outs, and no connection left behind by a thread."""
    changed: dict[str, Any] = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed |= {"TOKENS": [TOKEN], "LOCK_TIMEOUT": 20, "STATEMENT_TIMEOUT": 30}
    settings.INTEGRACION_DYNAMICS = changed
    assert connection.vendor in {"postgresql", "mysql"}
    yield changed
    connection.close()


class Others:
    """Other processes of the host, played by threads with connections of their own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, *works: Callable[[], Any]) -> list[Any]:
        """Run these side by side, and give what each returned."""
        return [one.result(180) for one in [self.begin(work) for work in works]]

    def begin(self, work: Callable[[], Any]) -> Any:
        """Run it beside what goes on; gives a future."""

        def run() -> Any:
            try:
                return work()
            finally:
                connections.close_all()

        return self._pool.submit(run)


@pytest.fixture
def others() -> Iterator[Others]:
    with ThreadPoolExecutor(12) as pool:
        yield Others(pool)


class Gate:
    """Two threads meet: one waits until the other opens."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def is_open(self) -> bool:
        return self._event.is_set()

    def wait(self) -> None:
        assert self._event.wait(120), "nobody opened the gate"
