"""`ops first-sync` as a person types it, between two systems that the local stack really runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from local.playing import Player
from local.ports import Ports
from local.run import ROOT
from local.stack import Stack
from ops.app import app

PAIRS = 60


@dataclass
class Installation:
    """Two systems that filled up without knowing of each other, and the operator's shell."""

    player: Player
    folder: Path

    def __call__(self, *arguments: str, **changes: str) -> Result:
        with chdir(self.folder):
            environment = {**self.player.stack.operator_settings(), **changes}
            return CliRunner().invoke(app, ["first-sync", *arguments], env=environment)

    def json(self, *arguments: str, **changes: str) -> tuple[int, Any]:
        done = self(*arguments, "--json", **changes)
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return done.exit_code, json.loads(done.stdout)

    def record(self, key: str, **values: object) -> None:
        self.player.cmms_create("activos", {"codigo_interno": key, "nombre": "Bomba", **values}, announced=False)

    def row(self, key: str, **values: object) -> None:
        row = {"msdyn_assetnumber": key, "msdyn_name": "Bomba", **values}
        self.player.dynamics_create("msdyn_customerassets", row, announced=False)

    def rows(self) -> dict[str, dict[str, Any]]:
        return self.player.dynamics("msdyn_customerassets", "msdyn_assetnumber")

    def records(self) -> dict[str, dict[str, Any]]:
        return self.player.cmms("activos", "codigo_interno")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    settings = {"RECONCILE_SCHEDULE": "0 0 0 1 1 *"}
    with Stack(Ports.free(), settle_seconds=0, console=True, settings=settings) as stack, Player(stack) as player:
        yield Installation(player, tmp_path_factory.mktemp("operator"))


def fill(one: Installation) -> None:
    for number in range(PAIRS):
        name = {"msdyn_name": f"Pump {number}"} if number % 10 == 0 else {}
        one.record(f"P-{number:03}")
        one.row(f"P-{number:03}", **name)
    for number in range(5):
        one.record(f"C-{number}")
        one.row(f"D-{number}")
    one.record("LONG", nombre="N" * 150)
    one.record("near 1")
    one.row("NEAR 1")


def test_there_is_nothing_to_run_before_a_plan(installation: Installation) -> None:
    done = installation("run", "--yes")
    assert (done.exit_code, "first-sync plan" in done.output) == (2, True)


def test_the_plan_tells_an_administrator_what_will_happen(installation: Installation) -> None:
    fill(installation)
    done = installation("plan", "--entity", "asset", "--report", "plan.html")
    text = " ".join(done.output.split())
    assert done.exit_code == 1, done.output
    for expected in (
        f"asset: {PAIRS + 7} records in the CMMS, {PAIRS + 6} rows in Dynamics",
        f"equal on both sides {PAIRS - PAIRS // 10}",
        f"different {PAIRS // 10}",
        "only in the CMMS 6 created in Dynamics",
        "only in Dynamics 5 created in the CMMS",
        "nearly another's 2 left out",
        f"nombre {PAIRS // 10} the CMMS's value wins P-000 Bomba Pump 0",
        "mapping_error the field is parked, the rest of the record goes on LONG",
        "requests to Dynamics",
    ):
        assert expected in text, done.output
    page = (installation.folder / "plan.html").read_text(encoding="utf-8")
    assert "Pump 50" in page
    assert "near 1" in page


def test_the_plan_is_a_document_for_other_programs(installation: Installation) -> None:
    code, plan = installation.json("plan", "--entity", "asset", "--prefer", "dynamics", "--create-in", "dynamics")
    (asset,) = plan["entities"]
    assert (code, asset["kinds"]["different"], asset["messages"]) == (1, PAIRS // 10, PAIRS + 6)
    assert [one["what"] for one in asset["differences"]] == ["Dynamics' value wins"]
    assert asset["differences"][0]["examples"][0] == {"key": "P-000", "cmms": "Bomba", "dynamics": "Pump 0"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prefer", "everybody"), "none of cmms, dynamics, mapping"),
        (("--prefer", "nombr=cmms"), "asset.nombre"),
        (("--create-in", "azure"), "none of cmms, dynamics, both, none"),
        (("--entity", "aset"), "the mapping has asset, order"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(
    installation: Installation, arguments: tuple[str, ...], says: str
) -> None:
    done = installation("plan", *arguments)
    assert (done.exit_code, says in " ".join(done.output.split())) == (2, True)


def test_a_plan_that_no_longer_fits_is_not_run(installation: Installation) -> None:
    installation("plan", "--entity", "asset")
    for number in range(30):
        installation.row(f"LATE-{number}")
    done = installation("run", "--yes")
    assert (done.exit_code, "no longer fits" in done.output, "35 records are only in Dynamics" in done.output) == (
        1,
        True,
        True,
    )
    assert "C-0" not in installation.rows()


def test_a_run_that_is_killed_goes_on_and_ends_with_a_report(installation: Installation) -> None:
    assert installation("plan", "--entity", "asset").exit_code == 1
    environment = {**os.environ, **installation.player.stack.operator_settings(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ops", "first-sync", "run", "--yes", "--rate", "3"]
    for _ in range(2):
        child = subprocess.Popen(  # noqa: S603  # our own command line
            command, cwd=installation.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        before = installation.json("status")[1]["run"]
        end = time.monotonic() + 60
        while (now := installation.json("status")[1]["run"]) == before or now["done"] < 3:
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < end, now
            time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert installation.json("status")[1]["under_way"] is True
    code, report = installation.json("run", "--yes", "--rate", "500")
    assert (code, report["left"], report["waiting"], report["for_a_person"]) == (1, 0, 0, 3)
    lines = {one["what"]: (one["planned"], one["done"], one["left"]) for one in report["entities"]["asset"]}
    assert lines["linked as pairs"] == (PAIRS + 41, PAIRS + 40, 0)
    assert (lines["created in Dynamics"], lines["created in the CMMS"]) == ((6, 5, 0), (35, 35, 0))
    code, status = installation.json("status")
    assert (code, status["under_way"], status["run"]["ended"] is not None) == (0, False, True)


def test_afterwards_both_sides_hold_the_same_once(installation: Installation) -> None:
    installation.player.until_quiet()
    rows, records = installation.rows(), installation.records()
    assert rows.keys() ^ records.keys() == {"near 1", "NEAR 1", "LONG"}
    assert all(rows[f"P-{number:03}"]["msdyn_name"] == "Bomba" for number in range(PAIRS))
    listed = [
        row["msdyn_assetnumber"]
        for row in installation.player.dynamics("msdyn_customerassets", "msdyn_customerassetid").values()
    ]
    assert len(listed) == len(set(listed)) == PAIRS + 41
    code, plan = installation.json("plan", "--entity", "asset")
    assert (code, plan["messages"]) == (1, 0)
    done = installation("run", "--yes")
    assert (done.exit_code, "left out for a person" in done.output) == (1, True)
