import logging

import pytest

from functions import webhook as webhook_module
from tests.fakes import FakeWiring


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> FakeWiring:
    """The webhook's parts in memory; everything that it logs is caught."""
    caplog.set_level(logging.DEBUG)
    parts = FakeWiring()
    monkeypatch.setattr(webhook_module, "wiring", parts)
    return parts
