"""Every command as a person types it, on a running local stack."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from local.ports import Ports
from local.stack import Stack
from ops.app import app
from shared.settings import DOCUMENT_MAPPING

PATIENCE = 30.0


@dataclass
class Shell:
    """Types commands; `changes` to the settings break one thing at a time."""

    stack: Stack
    folder: Path

    def __call__(self, *arguments: str, **changes: str) -> Result:
        # Not as processes: starting each would take longer than its work. One that is killed is tested elsewhere.
        with chdir(self.folder):
            return CliRunner().invoke(app, list(arguments), env={**self.stack.operator_settings(), **changes})

    def json(self, *arguments: str, **changes: str) -> tuple[int, Any]:
        done = self(*arguments, "--json", **changes)
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return done.exit_code, json.loads(done.stdout)

    def bad(self, **changes: str) -> tuple[int, list[dict[str, str]]]:
        code, found = self.json("check", "--slow", "600", **changes)
        return code, [one for one in found["findings"] if one["level"] != "ok"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Stack(Ports.free(), settle_seconds=0, console=True) as stack:
        yield Shell(stack, tmp_path_factory.mktemp("operator"))


def create(stack: Stack, **record: str) -> None:
    httpx.post(f"{stack.cmms_url}/demo/activos/", json=record, timeout=30, trust_env=False).raise_for_status()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_fresh_stack_is_fine_and_provision_has_nothing_to_do(shell: Shell) -> None:
    code, bad = shell.bad()
    assert (code, bad) == (0, [])
    code, plan = shell.json("provision", "--dry-run")
    assert (code, {one["verb"] for one in plan["plan"]}) == (0, {"keep"})


def test_a_rotated_secret_is_found_provisioned_and_found_again_by_the_old_one(shell: Shell) -> None:
    rotated = {"DYNAMICS_365_WEBHOOK_SECRET": "a-new-secret-after-rotation"}
    code, (finding,) = shell.bad(**rotated)
    assert (code, finding["subject"]) == (1, "Energy CMMS sync")
    code, done = shell.json("provision", "--yes", **rotated)
    assert (code, done["done"]) == (0, 1)
    assert shell.bad(**rotated) == (0, [])
    code, _ = shell.json("provision", "--yes")
    assert code == 0


def test_a_wrong_audience_names_the_setting(shell: Shell) -> None:
    stack = shell.stack
    code, (finding,) = shell.bad(
        DYNAMICS_365_RESOURCE_URL=stack.dataverse_url.replace("127.0.0.1", "localhost"),
        DYNAMICS_365_BASE_URL=stack.web_api_url,
    )
    assert code == 1
    assert "DYNAMICS_365_RESOURCE_URL" in finding["action"]


def test_a_missing_privilege_is_named(shell: Shell) -> None:
    stack = shell.stack
    user = f"{stack.dataverse_url}/_emulator/users/{stack.keys.integration_id}"
    with httpx.Client(timeout=30, trust_env=False) as client:
        client.patch(user, json={"denied": ["Write:salesorder"]}).raise_for_status()
        code, (finding,) = shell.bad()
        client.patch(user, json={"denied": []}).raise_for_status()
    assert (code, "prvWritesalesorder" in finding["message"]) == (1, True)


def test_what_cannot_be_reached_ends_with_3(shell: Shell) -> None:
    code, bad = shell.bad(CMMS_BASE_URL="http://127.0.0.1:9")
    assert (code, [one["area"] for one in bad]) == (3, ["cmms", "cmms"])
    assert all("CMMS_BASE_URL" in one["action"] and "http://127.0.0.1:9" in one["action"] for one in bad)
    done = shell("show", "--entity", "asset", "--key", "1", CMMS_BASE_URL="http://127.0.0.1:9")
    assert done.exit_code == 3


def test_a_record_is_resynchronized_followed_and_told(shell: Shell) -> None:
    create(shell.stack, codigo_interno="0001", nombre="Bomba", costo="10.50")
    code, done = shell.json("resync", "--entity", "asset", "--key", "0001", "--wait")
    assert (code, done["settled"]) == (0, ["0001"])
    code, story = shell.json("show", "--entity", "asset", "--key", "0001")
    assert (code, story["agrees"]) == (0, True)
    (cost,) = [one for one in story["fields"] if one["field"] == "valor_adquisicion"]
    assert (cost["cmms"], cost["dynamics"], cost["base"]) == ("10.5", "10.5", {"cmms": "10.5", "dynamics": "10.5"})
    code, since = shell.json("resync", "--entity", "asset", "--since", "1h", "--dry-run")
    assert (code, since["keys"]) == (0, ["0001"])


def test_drift_is_shown_field_by_field_and_as_a_page(shell: Shell) -> None:
    create(shell.stack, codigo_interno="0002", nombre="Motor")
    assert shell.json("resync", "--entity", "asset", "--key", "0002", "--wait")[0] == 0
    address = f"{shell.stack.cmms_url}/demo/activos/0002/?silencioso=1"
    httpx.patch(address, json={"nombre": "Motor nuevo"}, timeout=30, trust_env=False).raise_for_status()
    done = shell("drift", "--entity", "asset", "--report", "drift.html")
    assert done.exit_code == 1
    assert "Motor nuevo" in done.stdout
    assert "Motor nuevo" in (shell.folder / "drift.html").read_text(encoding="utf-8")
    code, story = shell.json("show", "--entity", "asset", "--key", "0002")
    (name,) = [one for one in story["fields"] if one["field"] == "nombre"]
    assert (code, name["state"]) == (1, "to Dynamics")
    assert shell.json("resync", "--entity", "asset", "--all", "--wait")[0] == 0
    assert shell("drift", "--entity", "asset").exit_code == 0


def test_what_a_restored_cmms_lost_comes_back_from_dynamics(shell: Shell) -> None:
    create(shell.stack, codigo_interno="0004", nombre="Torre")
    assert shell.json("resync", "--entity", "asset", "--key", "0004", "--wait")[0] == 0
    live = shell.stack.folder / "cmms.sqlite3"
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with closing(sqlite3.connect(live, timeout=30)) as database, closing(sqlite3.connect(":memory:")) as backup:
        database.backup(backup)
        address = f"{shell.stack.cmms_url}/demo/activos/0004/"
        httpx.patch(address, json={"nombre": "Torre norte"}, timeout=30, trust_env=False).raise_for_status()
        assert shell.json("resync", "--entity", "asset", "--key", "0004", "--wait")[0] == 0
        backup.backup(database)
    code, plan = shell.json("restored", "--side", "cmms", "--at", at, "--dry-run")
    (effect,) = [one for one in plan["entities"][0]["effects"] if one["field"] == "nombre"]
    assert (code, effect["what"]) == (1, "written to the CMMS, the other value recorded")
    assert effect["examples"] == [{"key": "0004", "cmms": "Torre", "dynamics": "Torre norte"}]
    code, done = shell.json("restored", "--side", "cmms", "--at", at, "--yes")
    assert (code, done["enqueued"] > 0) == (0, True)

    def back() -> bool:
        _, story = shell.json("show", "--entity", "asset", "--key", "0004")
        names = [one["cmms"] for one in story["fields"] if one["field"] == "nombre"]
        return names == ["Torre norte"] and [one["lost"] for one in story["conflicts"]] == ["Torre"]

    until(back)
    assert shell.json("restored", "--side", "cmms", "--at", at, "--dry-run")[1]["entities"][0]["records"] == 0


def test_a_brake_that_holds_nothing_is_released_in_vain(shell: Shell) -> None:
    assert shell.json("drift", "--release-brake", "Ana") == (0, {"released": None})
    assert shell("drift", "--release-brake", " ").exit_code == 2


def test_a_parked_message_is_listed_shown_replayed_and_discarded(shell: Shell) -> None:
    create(shell.stack, codigo_interno="0003", nombre="Compresor")
    assert shell.json("resync", "--entity", "asset", "--key", "0003", "--wait")[0] == 0
    address = f"{shell.stack.cmms_url}/demo/activos/0003/"
    httpx.patch(address, json={"nombre": "x" * 200}, timeout=30, trust_env=False).raise_for_status()
    parked: list[dict[str, Any]] = []

    def there() -> bool:
        parked[:] = shell.json("parked", "list", "--entity", "asset", "--key", "0003")[1]
        return bool(parked)

    until(there)
    number = str(parked[0]["number"])
    assert parked[0]["field"] == "nombre"
    assert shell("parked", "show", number).exit_code == 0
    assert shell("parked", "list", "--older-than", "1d").output == "No parked message matches.\n"
    code, done = shell.json("parked", "replay", number, "--yes")
    assert (code, done["done"]) == (0, [int(number)])
    # The same value fails again: it is parked again, with everything that happened before.
    until(lambda: there() and all(one["number"] != int(number) for one in parked))
    (again,) = parked
    assert [one["reason"] for one in again["history"]] == ["mapping_error", "mapping_error"]
    assert shell("parked", "discard", "--key", "0003", "--yes").exit_code == 2
    code, done = shell.json("parked", "discard", "--key", "0003", "--because", "a test", "--yes")
    assert code == 0
    kept = [json.loads(line) for line in (shell.folder / "discarded.jsonl").read_text().splitlines()]
    assert {one["number"] for one in kept} == set(done["done"])
    assert {one["because"] for one in kept} == {"a test"}
    assert shell.json("parked", "list") == (0, [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("resync", "--entity", "asset", "--key", "ZZ", "--wait"), "Nothing is known of asset ZZ"),
        (("show", "--entity", "asset", "--key", "NOSUCH"), "Nothing is known of asset NOSUCH"),
        (("parked", "list", "--reason", "mapping_eror"), "did you mean mapping_error?"),
        (("parked", "list", "--field", "nombr"), "did you mean nombre?"),
    ],
)
def test_a_name_that_exists_nowhere_is_a_mistake(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    done = shell(*arguments)
    assert (done.exit_code, says in " ".join(done.output.split())) == (2, True)


def test_a_message_is_told_by_status_tail_and_the_console(shell: Shell) -> None:
    create(shell.stack, codigo_interno="0009", nombre="Torno")
    assert shell.json("resync", "--entity", "asset", "--key", "0009", "--wait")[0] == 0
    done = shell("tail", "--no-follow", "--json", "--key", "0009")
    outcomes = {json.loads(line)["outcome"] for line in done.stdout.splitlines()}
    assert "applied" in outcomes
    _, view = shell.json("status")
    assert [one["queue"] for one in view["queues"]] == ["assets", "orders", "parked"]
    assert all(one["problem"] is None for one in view["health"])
    with httpx.Client(timeout=60, trust_env=False, follow_redirects=True) as browser:
        base = shell.stack.console_url.partition("/?")[0]
        assert browser.get(base).status_code == 403
        assert browser.get(shell.stack.console_url).status_code == 200
        assert "0009" in browser.get(base).text
        page = browser.get(f"{base}/record", params={"entity": "asset", "key": "0009"}).text
        assert "Torno" in page
        assert "message applied" in page
        token = re.search(r'name="token" value="(\w+)"', page)
        assert token is not None
        form = {"token": token[1], "entity": "asset", "key": "0009"}
        assert "on its way" in browser.post(f"{base}/record/resync", data=form).text


def test_the_mapping_in_force_would_change_nothing(shell: Shell) -> None:
    code, found = shell.json("mapping", "plan", str(DOCUMENT_MAPPING))
    assert (code, found["effects"], found["cannot"]) == (0, [], [])


def test_a_side_that_is_down_is_told_within_seconds(shell: Shell) -> None:
    faults = f"{shell.stack.dataverse_url}/_emulator/faults"
    with httpx.Client(timeout=30, trust_env=False) as client:
        for fault in (
            {"effect": "status"},
            {"effect": "status", "status": 429, "retry_after": "600"},
            {"effect": "dropped"},
        ):
            client.post(faults, json={**fault, "times": None}).raise_for_status()
            started = time.monotonic()
            done = shell("drift")
            client.delete(faults).raise_for_status()
            assert (done.exit_code, "ERROR" in done.stderr) == (3, False)
            assert time.monotonic() - started < 45


def test_a_value_that_its_rule_refuses_is_shown(shell: Shell) -> None:
    order = {"numero_requisicion": "R-9", "estado": "BORRADOR"}
    answer = httpx.post(f"{shell.stack.cmms_url}/demo/requisiciones/", json=order, timeout=30, trust_env=False)
    answer.raise_for_status()
    assert shell.json("resync", "--entity", "order", "--key", "R-9", "--wait")[0] == 0
    with closing(sqlite3.connect(shell.stack.folder / "cmms.sqlite3", timeout=30)) as database, database:
        changed = database.execute("UPDATE inventario_requisicion SET estado = 'INVENTADO'")
        assert changed.rowcount == 1
    _, story = shell.json("show", "--entity", "order", "--key", "R-9")
    (state,) = [one for one in story["fields"] if one["field"] == "estado"]
    assert (state["cmms"], state["state"]) == ("INVENTADO", "blocked")
