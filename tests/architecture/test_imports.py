"""The arrows of the architecture: domain <- flows <- adapters, wiring <- functions, read from the sources."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = {
    *("__future__", "abc", "base64", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal"),
    *("difflib", "enum"),
    *("functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "operator", "re", "string", "tomllib"),
    *("types", "typing", "unicodedata", "uuid", "msgspec", "pydantic"),
}
# What each layer may import of the product. A prefix allows what is below it.
ALLOWED = {
    "shared.errors": (),
    "shared.settings": ("shared.errors",),
    "shared.domain": ("shared.domain", "shared.errors"),
    "shared.telemetry": (),
    "shared.flows": ("shared.flows", "shared.domain", "shared.errors", "shared.telemetry"),
    "shared.adapters": (
        *("shared.adapters", "shared.flows", "shared.domain", "shared.errors", "shared.settings"),
        "shared.telemetry",
    ),
    "shared": ("shared",),
    "functions": (
        "functions.bodies",
        "functions.causes",
        "shared.wiring",
        "shared.domain",
        "shared.errors",
        "shared.telemetry",
    ),
    "function_app": ("functions", "shared.telemetry"),
}
OURS = {"shared", "functions", "function_app", "local", "ops", "tests", "docs", "benchmarks", "cmms"}
OF_CMMS = {"integracion_dynamics", "demo"}


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    start = ROOT / folder
    for path in [start] if start.suffix else sorted(start.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "tests" not in parts:
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(module: str, path: Path) -> Iterator[str]:
    """Every module that this one imports, wherever in it, as `package.module`."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import module` imports the module: name it, so that the arrow is seen.
            for alias in node.names:
                deeper = ROOT.joinpath(*origin.split("."), alias.name)
                is_module = deeper.with_suffix(".py").exists() or deeper.is_dir()
                yield f"{origin}.{alias.name}" if is_module else origin


PRODUCT = [*modules("shared"), *modules("functions"), *modules("function_app.py")]
CMMS = [*modules("cmms")]


def layer(module: str) -> str:
    return max((name for name in ALLOWED if within(module, name)), key=len)


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


@pytest.mark.parametrize(("module", "path"), PRODUCT, ids=[name for name, _ in PRODUCT])
def test_a_module_imports_only_what_its_layer_may(module: str, path: Path) -> None:
    own = [name for name in imports(module, path) if name.split(".")[0] in OURS | OF_CMMS]
    assert [name for name in own if not any(within(name, prefix) for prefix in ALLOWED[layer(module)])] == []


@pytest.mark.parametrize(("module", "path"), list(modules("shared/domain")), ids=lambda value: str(value)[-30:])
def test_the_domain_imports_nothing_that_does_input_or_output(module: str, path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(module, path)} - PURE - {"shared"}
    assert {(module, root) for root in roots} == set()


def test_only_adapters_speak_to_other_machines() -> None:
    network = {"azure", "httpx", "aiohttp", "requests", "socket", "ssl", "urllib3"}
    outside = {
        f"{module} imports {name}"
        for module, path in PRODUCT
        for name in imports(module, path)
        if name.split(".")[0] in network and not within(module, "shared.adapters")
    }
    typing_only = {"shared.wiring imports azure.core.credentials_async"}
    functions = {entry for entry in outside if entry.endswith(" imports azure.functions")}
    telemetry = {entry for entry in outside if entry.startswith("shared.telemetry ")}
    assert outside - typing_only - functions - telemetry == set()


def test_the_product_imports_only_what_it_declares_to_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^a-z0-9-]", line)[0].replace("-", ".", 1) for line in project["dependencies"]}
    roots = {name.split(".")[0] for name in declared} | {"pydantic_settings"}
    foreign = {name.split(".")[0] for module, path in PRODUCT for name in imports(module, path)}
    assert foreign - OURS - sys.stdlib_module_names - roots == set()


def test_the_cmms_app_stands_alone() -> None:
    found = {
        f"{module} imports {name}"
        for module, path in CMMS
        for name in imports(module, path)
        if name.split(".")[0] in OURS - {"cmms"}
    }
    assert found == set()


def test_the_integration_app_imports_nothing_of_the_demo_that_shows_it() -> None:
    found = [
        f"{module} imports {name}"
        for module, path in modules("cmms/integracion_dynamics")
        for name in imports(module, path)
        if name.split(".")[0] == "demo"
    ]
    assert found == []


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "shape.py"
    source.write_text(
        "import os.path\nfrom shared import errors\nfrom shared.domain.model import Value\nfrom . import merge\n"
        "def later():\n    from ..flows.routing import route\n",
        encoding="utf-8",
    )
    assert set(imports("shared.domain.shape", source)) == {
        *("os.path", "shared.errors", "shared.domain.model", "shared.domain.merge", "shared.flows.routing.route"),
    }


EMULATORS = ROOT / "local/emulators"
SHARED_BY_EMULATORS = ("local.emulators.certificate.", "local.emulators.serving.")


@pytest.mark.parametrize("emulator", ["dataverse", "functions_host", "identity", "servicebus"])
def test_an_emulator_imports_nothing_of_the_product_and_no_other_emulator(emulator: str) -> None:
    own = f"local.emulators.{emulator}"
    foreign = [
        f"{module}: {name}"
        for module, path in modules(f"local/emulators/{emulator}")
        for name in imports(module, path)
        if name.split(".")[0] in OURS | OF_CMMS and not f"{name}.".startswith((f"{own}.", *SHARED_BY_EMULATORS))
    ]
    assert foreign == []


def test_the_tests_of_the_emulators_import_nothing_of_the_product() -> None:
    sources = [(path.relative_to(ROOT).with_suffix("").as_posix(), path) for path in EMULATORS.rglob("tests/**/*.py")]
    foreign = [
        f"{module}: {name}"
        for module, path in sources
        for name in imports(module.replace("/", "."), path)
        if name.split(".")[0] in OURS | OF_CMMS and not f"{name}.".startswith("local.emulators.")
    ]
    assert foreign == []


def test_the_emulators_can_be_installed_by_themselves() -> None:
    project = tomllib.loads((EMULATORS / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in EMULATORS.rglob("__init__.py")}
    assert set(packages) == {name for name in found if "tests" not in name.split(".")}
    for target in project["project"]["scripts"].values():
        module, _, function = target.partition(":")
        assert f"def {function}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    needed = {re.split(r"[<>=\[]", name)[0] for name in project["project"]["dependencies"]}
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = {re.split(r"[<>=\[]", name)[0] for name in root["project"]["dependencies"]}
    known |= {re.split(r"[<>=\[]", name)[0] for name in root["dependency-groups"]["local"]}
    assert needed <= known
