"""What the pages point at exists: links, anchors, make targets, modules to run, and paths of the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_imports import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "cmms" / "README.md"])
# A name without a folder is taken for a file of ours by its ending.
ENDINGS = {".py", ".md", ".toml", ".json", ".txt", ".bicep", ".bicepparam", ".html", ".yml"}
# What a command makes, or a reader is told to make.
MADE = re.compile(r"(build|\.local|\.venv)(/|\Z)|(local\.settings|settings|app|latest)\.json\Z|latest\.html\Z")
# Where a page's shorter names begin: `flows/sync` is the product's.
BASES = ("", "shared", "docs", "infra", "cmms")


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> Iterator[str]:
    """Every code span and every line of a fenced block."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`]+)`", prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.*?)\s*$", prose(text), flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        if count:
            found[f"{slug}-{count}"] = 0
    return set(found)


def links(text: str) -> list[str]:
    """The targets of links that stay in the repository."""
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", prose(text))
        if not re.match(r"[a-z]+:", target)
    ]


def paths(text: str) -> set[str]:
    """What looks like a path of the repository, in code spans and blocks."""
    top = {path.name for path in ROOT.iterdir() if path.is_dir()}
    found: set[str] = set()
    for piece in code(text):
        for word in re.findall(r"(?<![\w./:@<>{$%~-])[\w.][\w./-]*", piece):
            name = word.rstrip(".")
            first, folder, _ = name.partition("/")
            if (folder and first in top) or (piece == word and not folder and Path(name).suffix in ENDINGS):
                found.add(name)
    return {name for name in found if not MADE.match(name)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    dead = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {
        name for piece in code(page.read_text(encoding="utf-8")) for name in re.findall(r"\bmake ([a-z][\w-]*)", piece)
    }
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_runs_exists_and_is_run_by_the_project_s_own_interpreter(page: Path) -> None:
    runs = [
        (before, module)
        for piece in code(page.read_text(encoding="utf-8"))
        for before, module in re.findall(r"(\S*)python -m ([a-z_.]+)", piece)
        if module not in {"pytest", "venv", "pip"} and page.parent.name != "cmms"
    ]
    for before, module in runs:
        assert before == ".venv/bin/", f"{before}python -m {module}: nothing else has what it needs"
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    bases = [page.parent, *(ROOT / base for base in BASES)]
    # A module may be named without its ending.
    missing = [
        name
        for name in paths(page.read_text(encoding="utf-8"))
        if not any((base / form).exists() for base in bases for form in (name, f"{name}.py"))
    ]
    assert sorted(missing) == []


def test_what_does_not_exist_is_seen() -> None:
    page = (
        "# A heading, with `code` and a dot.\n## Twice\n## Twice\n"
        "[dead](docs/nothing.md#x) [alive](#a-heading-with-code-and-a-dot) [far](https://example.com/x)\n"
        '`make nothing` in `shared/nothing.py`, `nothing.py` and `tests/`; make sense of [text](README.md "title").\n'
        "```sh\nmake other   # see infra/nothing.bicep\n# no heading\n[no](link.md)\n```\n"
    )
    assert links(page) == ["docs/nothing.md#x", "#a-heading-with-code-and-a-dot", "README.md"]
    assert anchors(page) == {"a-heading-with-code-and-a-dot", "twice", "twice-1"}
    assert paths(page) == {"shared/nothing.py", "nothing.py", "tests/", "infra/nothing.bicep"}
    assert {name for piece in code(page) for name in re.findall(r"\bmake ([a-z]+)", piece)} == {"nothing", "other"}
