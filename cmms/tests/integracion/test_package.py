from __future__ import annotations

import ast
import sys
from pathlib import Path

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
