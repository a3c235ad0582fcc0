"""The local stack's look at a queue: whatever a sender put there, the terminal only prints it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from typer.testing import CliRunner

from local.emulators.functions_host.tests.brokered import RunningBroker, running_broker
from local.emulators.servicebus import QueueSettings
from local.messages import app


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with running_broker([QueueSettings("assets")]) as broker:
        yield broker


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"\x1b[2J[red]a", "\\x1b[2J[red]a"),
        ("Válvula".encode("latin-1"), "V\\xe1lvula"),
        (b"", ""),
        (None, ""),
        ('{"ñ":1}\n'.encode(), '{"ñ":1}\\n'),
    ],
)
def test_a_peek_shows_any_body_and_property_in_printable_text(
    broker: RunningBroker, body: bytes | None, shown: str
) -> None:
    broker.send("assets", [ServiceBusMessage(body, application_properties={"p": "\x1b[31m"})])
    done = CliRunner().invoke(app, ["--port", str(broker.broker.port), "peek", "assets"])
    assert done.exit_code == 0, done.output
    first, *properties, count = done.output.splitlines()
    assert first.partition(": ")[2] == shown
    assert properties == ["    p: \\x1b[31m"]
    assert count == "1 message"


ROOT = Path(__file__).resolve().parents[2]
# Modules that a person starts by hand; each answers --help, and does nothing else then.
STARTED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for folder in ("local", "docs", "ops", "benchmarks", "tests/simulation")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if re.search(r"^if __name__ == .__main__.:", path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  # our own modules
        [sys.executable, str(Path(__file__).with_name("helped.py")), str(tmp_path_factory.mktemp("helps")), *STARTED],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'cmms'}"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("module", STARTED)
def test_help_is_all_that_help_does(module: str, helps: dict[str, Any]) -> None:
    done = helps[module]
    assert (done["code"], done["errors"], done["left"]) == (0, "", [])
    assert "usage:" in done["output"].lower()
    assert len(done["output"].splitlines()) < 80


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "9", "peek", "assets"], "Does 'make up' run"),
        (["--port", "9", "send", "sync.asset.dirty", '{"key": "1"}'], "Does 'make up' run"),
        (["--port", "9", "peek", "nope"], "there are assets, orders, parked"),
        (["--port", "9", "send", "sync.asset.dirty", "[]"], "must be a JSON object"),
        (["--port", "9", "send", "sync.asset.dirty", "{"], "is not JSON"),
        (["--port", "9", "send", "sync.contact.dirty", "{}"], "is not one of the contract's"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert says in " ".join(done.output.replace("│", " ").split())
    assert isinstance(done.exception, SystemExit)
    assert "pydantic" not in done.output
