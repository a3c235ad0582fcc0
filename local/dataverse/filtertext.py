"""What Dataverse adds to the filter grammar, rewritten into the standard: parameter aliases and bracketed lists."""

import re
from collections.abc import Mapping

from local.dataverse.errors import Refusal

_QUOTED = re.compile(r"'(?:[^']|'')*'")
_LIST_ITEM = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)"|([^'",\]\s]+))\s*(,|\])""")


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
            raise Refusal.SYNTAX(detail="A list in the $filter must look like ['a','b'] and hold at least one value.")
        single, double, bare, end = match.groups()
        if double is not None:
            single = re.sub(r"\\(.)", r"\1", double).replace("'", "''")
        items.append(bare if bare is not None else f"'{single}'")
        position = match.end()
        if end == "]":
            return f"({items[0]},)" if len(items) == 1 else f"({','.join(items)})", position
