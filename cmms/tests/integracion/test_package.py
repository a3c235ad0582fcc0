from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import django
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("integracion_dynamics/**/*.py"), *ROOT.glob("demo/**/*.py")])
ALLOWED = {"integracion_dynamics", "demo", "django", "azure"}
OPTIONAL = {"tasks.py": {"celery"}}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_python_3_10_and_imports_only_what_the_package_declares(source: Path) -> None:
    tree = ast.parse(source.read_text("utf-8"), feature_version=(3, 10))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    allowed = ALLOWED - {"demo"} if "integracion_dynamics" in source.parts else ALLOWED
    assert {name.partition(".")[0] for name in imported} <= allowed | OPTIONAL.get(
        source.name, set()
    ) | sys.stdlib_module_names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"  # as pip calls it
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True)  # noqa: S603 - our own arguments
    (built,) = folder.glob("*.whl")
    return built


def test_building_the_wheel_leaves_nothing_in_the_checkout(wheel: Path) -> None:
    assert not list(ROOT.glob("build")) + list(ROOT.glob("*.egg-info")) + list(ROOT.glob("dist"))


def test_the_wheel_holds_the_app_with_its_types_translations_and_licence_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    app = {name for name in names if name.startswith("integracion_dynamics/")}
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "integracion_dynamics").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert app == wanted
    assert {"integracion_dynamics/py.typed", "integracion_dynamics/locale/es/LC_MESSAGES/django.mo"} <= app
    others = {name.partition("/")[2] for name in names - app}
    assert others == {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE"}


@pytest.mark.skipif(django.VERSION < (5, 1), reason="the demo's options for SQLite need Django 5.1")
def test_a_web_server_works_without_the_brokers_sdk(tmp_path: Path) -> None:
    program = """
import sys

class NoSdk:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"azure", "celery", "import_export"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoSdk())
import django
django.setup()
from django.core.management import call_command, CommandError
call_command("migrate", verbosity=0)
call_command("check")
call_command("relay_outbox", status=True)
from demo.inventario.models import Activo
Activo.objects.create(codigo_interno="1", nombre="x")
from django.test import Client
assert Client(headers={"Authorization": "Bearer x" + "y" * 20}).get(
    "/integracion/activos/", headers={"Host": "localhost"}
).status_code == 200
try:
    call_command("relay_outbox", once=True)
except CommandError as error:
    print(error)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "demo.settings",
        "CMMS_DEMO_DB": str(tmp_path / "db.sqlite3"),
        "CMMS_TOKEN": "x" + "y" * 20,
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    assert "energy-cmms-dynamics[relay]" in done.stdout
