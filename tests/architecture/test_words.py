"""A count and its noun agree: no message says "1 records"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.words import plural

ROOT = Path(__file__).parents[2]
NOUNS = (
    *("attempts", "bytes", "characters", "codes", "columns", "decimals", "entities", "fields", "files", "letters"),
    *("members", "messages", "notes", "pages", "pairs", "records", "repairs", "requests", "rows", "runs", "steps"),
    *("times", "warnings", "errors", "writes"),
)
COUNTED = re.compile(rf" (?:[a-z-]+ )?(?:{'|'.join(NOUNS)})\b")
# Said of two or more only, of a limit that is far above one, or a name and no count.
ALWAYS_SEVERAL = {
    ("shared/adapters/dataverse/references.py", "rows"),
    ("shared/domain/decide/first_contact.py", "len(exact)"),
    ("shared/flows/operate/first_sync/choices.py", "entity.name"),
    ("shared/flows/operate/check/access.py", "len(more) + 1"),
    ("shared/flows/reconcile/passes.py", "count"),
    ("shared/flows/routing/route.py", "len(body)"),
    ("shared/flows/sync/mass_clear.py", "count"),
}


def counts(path: Path) -> Iterator[str]:
    """Each expression in a text that stands before a noun in the plural."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            noun = isinstance(after, ast.Constant) and COUNTED.match(str(after.value))
            constant = isinstance(value, ast.FormattedValue) and ast.unparse(value.value).isupper()
            if noun and isinstance(value, ast.FormattedValue) and not constant:
                yield ast.unparse(value.value)


@pytest.mark.parametrize("folder", ["shared", "functions", "ops"])
def test_a_message_names_a_count_and_its_noun_by_plural(folder: str) -> None:
    found = {
        (str(path.relative_to(ROOT)), expression)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for expression in counts(path)
        if "plural(" not in expression and "word_for(" not in expression
    }
    assert found - ALWAYS_SEVERAL == set()


@pytest.mark.parametrize(
    ("count", "noun", "says"),
    [
        (0, "record", "0 records"),
        (1, "parked message", "1 parked message"),
        (1500, "entity", "1,500 entities"),
        (1, "is", "1 is"),
        (2, "waits", "2 wait"),
    ],
)
def test_a_noun_has_the_number_of_its_count(count: int, noun: str, says: str) -> None:
    assert plural(count, noun) == says
