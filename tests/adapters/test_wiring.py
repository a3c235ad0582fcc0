"""The composition root: lazy, built once, and open to other parts."""

import subprocess
import sys
from functools import cached_property
from typing import override

import pytest

from shared.adapters.dataverse import DataverseGateway
from shared.adapters.ledger import SqliteLedger
from shared.errors import ConfigurationError
from shared.flows.record_keys import LinkedKeys
from shared.settings import DOCUMENT_MAPPING, Settings
from shared.wiring import Wiring, load_mapping
from tests.fakes import FakeBus, make_settings

LATE = (
    "azure.servicebus",
    "azure.identity",
    "azure.core",
    "azure.data",
    "aiohttp",
    "httpx",
    "sqlite3",
    "shared.adapters",
    "shared.flows.sync",
)
SEEN = f"import sys; print([name for name in {LATE!r} if name in sys.modules])"


class Given(Wiring):
    @cached_property
    @override
    def settings(self) -> Settings:
        return make_settings(cmms_base_url="https://cmms.example", cmms_token="token-of-the-cmms")


@pytest.mark.parametrize("module", ["shared.wiring", "function_app"])
def test_importing_loads_no_library_that_only_some_invocations_need(module: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", f"import {module}; {SEEN}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.real_time
async def test_every_part_is_built_once() -> None:
    wiring = Given()
    parts = ("mapping", "clock", "credential", "bus", "dynamics", "cmms", "router", "receiver", "sync", "reconciler")
    wiring.__dict__["ledger"] = object()
    for name in parts:
        assert getattr(wiring, name) is getattr(wiring, name), name
    assert wiring.dynamics_credential is wiring.credential
    await wiring.aclose()


@pytest.mark.real_time
@pytest.mark.parametrize(("mapping", "asked"), [("document", False), ("field_service", True)])
async def test_links_are_asked_for_lookups_only_where_records_of_the_mapping_refer_to_each_other(
    mapping: str, *, asked: bool
) -> None:
    wiring = Given()
    wiring.__dict__["mapping"] = load_mapping(DOCUMENT_MAPPING.with_name(f"{mapping}.toml"))
    wiring.__dict__["ledger"] = object()
    assert isinstance(wiring.dynamics, DataverseGateway)
    assert isinstance(wiring.dynamics._lookups._keys, LinkedKeys) is asked
    await wiring.aclose()


@pytest.mark.real_time
async def test_a_part_given_beforehand_is_used_by_what_is_built_on_it() -> None:
    wiring = Given()
    bus = wiring.bus = FakeBus()
    assert wiring.router._bus is bus
    assert wiring.receiver._bus is bus
    await wiring.aclose()


@pytest.mark.real_time
async def test_closing_builds_nothing_and_closes_what_was_built() -> None:
    wiring = Given()
    await wiring.aclose()
    assert wiring.__dict__ == {}
    dynamics = wiring.dynamics
    await wiring.aclose()
    assert dynamics._client._http.is_closed  # type: ignore[attr-defined]


@pytest.mark.real_time
async def test_what_was_built_before_closing_is_built_again_on_open_parts() -> None:
    wiring = Given()
    wiring.__dict__["ledger"] = SqliteLedger(":memory:")
    composed = [getattr(wiring, name) for name in ("router", "sync", "receiver", "reconciler")]
    await wiring.aclose()
    assert {*vars(wiring)} <= {"settings", "bus_settings", "mapping", "clock"}
    wiring.__dict__["ledger"] = SqliteLedger(":memory:")
    again = [getattr(wiring, name) for name in ("router", "sync", "receiver", "reconciler")]
    assert not any(new is old for new, old in zip(again, composed, strict=True))
    assert wiring.sync._dynamics is wiring.dynamics
    await wiring.aclose()


@pytest.mark.real_time
async def test_the_client_secret_signs_in_to_dynamics_and_to_nothing_else() -> None:
    wiring = Given()
    wiring.settings = make_settings(
        dynamics_365_tenant_id="5f0c1f0e-9a55-4a3d-8f60-0f8a3e1f6b10",
        dynamics_365_client_id="app-1",
        dynamics_365_client_secret="the-secret-of-the-app",
    )
    assert type(wiring.dynamics_credential).__name__ == "ClientSecretCredential"
    assert type(wiring.credential).__name__ in {"DefaultAzureCredential", "ManagedIdentityCredential"}
    assert wiring.cmms is None
    await wiring.aclose()


def test_nothing_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DYNAMICS_365_RESOURCE_URL", "SYNC_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    wiring = Wiring()
    with pytest.raises(ConfigurationError, match="DYNAMICS_365_RESOURCE_URL is missing"):
        _ = wiring.settings
