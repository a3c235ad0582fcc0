"""What Dataverse adds to the filter grammar, rewritten into the standard: parameter aliases and bracketed lists."""

import json
import re
from collections.abc import Mapping

from local.emulators.dataverse.errors import Refusal

_QUOTED = re.compile(r"'(?:[^']|'')*'")
# JSON, but for the single quotes: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
_LIST_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^'",\]\s]+))\s*(,|\])""")
_QUOTE_OR_ESCAPE = re.compile(r"""\\.|\"""")
_AS_JSON = {"\\'": "'", '"': '\\"'}
_NO_COMMA = (
    "Invalid JSON. A comma character ',' was expected in scope 'Array'. Every two elements in an array and properties "
    "of an object must be separated by commas."
)


def with_aliases(text: str, aliases: Mapping[str, str]) -> str:
    """Put the values of `@name` parameters in place, outside of quotes."""
    if not aliases:
        return text

    def substitute(match: re.Match[str]) -> str:
        found = match.group()
        return found if found.startswith("'") else aliases.get(found, found)

    return re.sub(rf"{_QUOTED.pattern}|@\w+", substitute, text)


def lists_to_parentheses(text: str) -> str:
    """Rewrite `['a','b']` outside of quotes as `('a','b')`: the grammar knows lists in parentheses only."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == "'":
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                raise Refusal.SYNTAX(detail="A text in the $filter has no closing quote.")
            parts.append(quoted.group())
            position = quoted.end()
        elif text[position] == "[":
            rewritten, position = _list(text, position + 1)
            parts.append(rewritten)
        else:
            parts.append(text[position])
            position += 1
    return "".join(parts)


def _list(text: str, position: int) -> tuple[str, int]:
    items: list[str] = []
    while True:
        match = _LIST_ITEM.match(text, position)
        if match is None:
            if text[position:].lstrip()[:1] in {"", "]"}:
                raise Refusal.SYNTAX(detail="A list in the $filter must look like ['a','b'] and hold a value.")
            raise Refusal.SYNTAX(detail=_NO_COMMA)
        single, double, bare, end = match.groups()
        items.append(bare if bare is not None else _literal(single if single is not None else double))
        position = match.end()
        if end == "]":
            return f"({items[0]},)" if len(items) == 1 else f"({','.join(items)})", position


def _literal(written: str) -> str:
    """A JSON string, without its quotes, as the grammar's own."""
    try:
        text = json.loads('"' + _QUOTE_OR_ESCAPE.sub(lambda found: _AS_JSON.get(found[0], found[0]), written) + '"')
    except ValueError as error:
        raise Refusal.SYNTAX(detail=f"Invalid JSON. {error}.") from error
    return "'" + str(text).replace("'", "''") + "'"
