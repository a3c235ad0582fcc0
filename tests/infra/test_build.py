import json
import re
from pathlib import Path

import pytest

from tests.infra import bicep

FILES = sorted(bicep.INFRA.rglob("*.bicep"))


def test_build_and_lint_say_nothing() -> None:
    built = bicep.run("build", str(bicep.INFRA / "main.bicep"), "--stdout")
    assert (built.returncode, built.stderr) == (0, "")
    linted = bicep.run("lint", str(bicep.INFRA / "main.bicep"))
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_the_linter_treats_its_rules_as_errors() -> None:
    config = json.loads((bicep.INFRA / "bicepconfig.json").read_text(encoding="utf-8"))
    rules = config["analyzers"]["core"]["rules"]
    assert len(rules) > 40
    assert {rule["level"] for rule in rules.values()} == {"error"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_output_and_type_is_described(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    naked = [
        line
        for above, line in re.findall(
            r"((?:^[ ]*@.*\n|^[ ]*//.*\n)*)^([ ]*(?:param|output|type) \w+.*)$", text, re.MULTILINE
        )
        if "@description(" not in above
    ]
    assert naked == []


def test_main_stays_readable() -> None:
    assert len((bicep.INFRA / "main.bicep").read_text(encoding="utf-8").splitlines()) < 200


def test_the_sources_are_in_the_compilers_form() -> None:
    # One call for the file with most kinds of declarations; each call takes seconds.
    path = bicep.INFRA / "modules" / "access.bicep"
    assert bicep.run("format", str(path), "--stdout").stdout == path.read_text(encoding="utf-8")
