"""`mapping check` and `mapping plan`: what is nearly right is named, and what a change would do is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from ops.app import app
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping, KeyMapping, Mapping
from shared.flows.operate.mapping_plan import plan
from shared.flows.reconcile.drift import Difference, DriftClass
from shared.flows.reconcile.report import EntityReport, Finding, Report
from shared.settings import DOCUMENT_MAPPING
from tests.fakes import document_mapping
from tests.ops.conftest import Organization

ROOT = Path(__file__).resolve().parents[2]
TEXT = DOCUMENT_MAPPING.read_text(encoding="utf-8")


def check(folder: Path, old: str = "", new: str = "") -> tuple[int, dict[str, Any]]:
    assert old in TEXT
    file = folder / "mine.toml"
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    done = CliRunner().invoke(app, ["mapping", "check", str(file), "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_the_customers_own_mapping_needs_no_remark_and_no_settings(tmp_path: Path) -> None:
    assert check(tmp_path) == (0, {"file": str(tmp_path / "mine.toml"), "usable": True, "problem": None, "remarks": []})


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ('"msdyn_name"', '"msdyn_nmae"', "entities.asset.fields.nombre", "msdyn_name"),
        ('"msdyn_assetnumber"', '"msdyn_asetnumber"', "entities.asset.key", "msdyn_assetnumber"),
        ('table = "salesorder"', 'table = "salesorders"', "entities.order.table", "salesorder"),
        ('cmms = "activos"', 'cmms = "activo"', "entities.asset.cmms", "activos"),
        ("numero_de_serie =", "numero_de_seri =", "entities.asset.fields", "numero_de_serie"),
        (
            'column = "msdyn_name", type = "string", length = 100',
            'column = "msdyn_name", type = "string"',
            "nombre",
            "length",
        ),
        ('type = "decimal", scale = 2 }', 'type = "decimal" }', "valor_adquisicion", "scale"),
    ],
)
def test_what_is_nearly_right_is_named_with_what_was_meant(
    tmp_path: Path, old: str, new: str, where: str, says: str
) -> None:
    code, found = check(tmp_path, old, new)
    assert (code, found["usable"]) == (1, True)
    assert any(where in one["where"] and says in one["action"] for one in found["remarks"])


def test_a_column_of_ones_own_that_is_like_no_other_is_no_remark(tmp_path: Path) -> None:
    assert check(tmp_path, '"msdyn_name"', '"contoso_bezeichnung"')[0] == 0


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    code, found = check(tmp_path, "length = 100", "lenght = 100")
    assert (code, found["usable"]) == (1, False)
    assert "did you mean 'length'" in found["problem"]


@pytest.mark.parametrize("model", [Mapping, EntityMapping, KeyMapping, FieldMapping], ids=lambda one: one.__name__)
def test_the_reference_names_every_key_of_the_file(model: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "mapping.md").read_text(encoding="utf-8")
    assert [name for name in model.model_fields if name != "name" and f"`{name}`" not in page] == []


def drifted(key: str, field: str, what: str) -> Finding:
    difference = Difference(field, f"{key} in the CMMS", None, "", what)
    return Finding("asset", key, DriftClass.CMMS_AHEAD, (difference,), "reported")


def report(*findings: Finding) -> Report:
    found = Report("r", None, entities=(EntityReport("asset", compared=9),))  # type: ignore[arg-type]
    found.findings.extend(findings)
    for one in findings:
        found.entities[0].drift[one.kind] += 1
    return found


async def test_a_plan_counts_what_only_the_new_mapping_does(organization: Organization) -> None:
    old, new = document_mapping(), document_mapping().model_copy()
    known = drifted("A-0", "nombre", "written to Dynamics")
    results = {
        id(old): report(known),
        id(new): report(known, *(drifted(f"A-{number}", "nombre", "written to Dynamics") for number in range(1, 6))),
    }

    async def compare(mapping: Mapping) -> Report:
        return results[id(mapping)]

    await organization.provision()
    found = await plan(new, old, organization.platform, compare)
    (effect,) = found.effects
    assert (effect.name, effect.what, effect.count, len(effect.examples)) == ("nombre", "written to Dynamics", 5, 3)
    assert (await plan(old, old, organization.platform, compare)).effects == ()
    assert (await plan(new, None, organization.platform, compare)).records == 6


async def test_a_plan_with_a_column_that_does_not_exist_compares_nothing(organization: Organization) -> None:
    await organization.provision()
    del organization.dataverse.tables["msdyn_customerasset"].table.columns["msdyn_name"]

    async def compare(_mapping: Mapping) -> Report:
        raise AssertionError("nothing may be compared")

    found = await plan(document_mapping(), None, organization.platform, compare)
    (finding,) = found.cannot
    assert finding.subject == "msdyn_name"
