"""What is written down about the settings and messages is what the code has, and the other way round."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from docs.generate import DOCS, pages, schemas, settings_page
from shared.domain.messages.events import DATA, Event
from shared.errors import ConfigurationError
from shared.settings import Settings, load_settings, setting_name
from tests.fakes import EVENTS

EXAMPLE = DOCS.parent / "local.settings.json.example"
# The Functions host's own; no part of the product reads them.
OF_THE_HOST = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
NAMES = {setting_name(field) for field in Settings.model_fields}


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "run: .venv/bin/python -m docs.generate"


def test_no_schema_is_left_of_a_message_that_is_gone() -> None:
    assert {path.name for path in (DOCS / "schemas").iterdir()} == set(schemas())


def test_the_settings_page_and_the_settings_name_the_same() -> None:
    rows = [line.split("`")[1] for line in settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(set(rows))
    assert set(rows) == NAMES


def test_the_example_and_the_settings_name_the_same(example: dict[str, Any]) -> None:
    assert set(example["Values"]) == NAMES | OF_THE_HOST
    assert example["IsEncrypted"] is False


def test_every_value_of_the_example_is_text_as_the_tools_require(example: dict[str, Any]) -> None:
    assert {type(value) for value in example["Values"].values()} == {str}


def test_the_example_holds_no_secret_that_a_worker_would_accept(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ.keys() & NAMES:
        monkeypatch.delenv(name)
    for name, value in example["Values"].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    lines = str(refused.value).splitlines()[:-1]
    assert [line.split()[0] for line in lines] == ["DYNAMICS_365_RESOURCE_URL", "DYNAMICS_365_WEBHOOK_SECRET"]
    # With these two filled in, the copy works.
    monkeypatch.setenv("DYNAMICS_365_RESOURCE_URL", "https://contoso.crm.dynamics.com")
    monkeypatch.setenv("DYNAMICS_365_WEBHOOK_SECRET", "a-secret-of-one's-own")
    assert load_settings().reconcile_schedule == "0 */15 * * * *"


@pytest.mark.parametrize("path", sorted(EVENTS.glob("cmms_*.json")), ids=lambda path: path.stem)
def test_a_captured_message_says_what_its_schema_requires(path: Path) -> None:
    message = json.loads(path.read_text(encoding="utf-8"))
    kind = Event.model_validate(message).kind
    assert kind in DATA
    schema = json.loads(schemas()[f"{kind}.json"])
    assert set(schema["required"]) <= message.keys()
    assert set(schema["properties"]["data"].get("required", [])) <= message["data"].keys()
    assert message.keys() <= schema["properties"].keys()
