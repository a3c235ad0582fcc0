"""Route templates of ASP.NET Core, which Azure Functions uses for HTTP triggers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from local.emulators.functions_host.errors import StartError

_PARAMETER = re.compile(r"\{(?P<catch_all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
_CONSTRAINTS = {
    "alpha": "[A-Za-z]+",
    "bool": "(?:true|false)",
    "guid": r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}",
    "int": "-?[0-9]{1,10}",
    "long": "-?[0-9]{1,19}",
}


@dataclass(frozen=True)
class Route:
    """A template such as `api/assets/{key}` and how to match it.

    Attributes:
        shape: equal for two templates that match the same paths.
        order: sorts the more specific template first: literals, constrained, longer ones.
    """

    template: str
    pattern: re.Pattern[str]
    shape: str
    order: tuple[tuple[int, str], ...]

    @classmethod
    def parse(cls, template: str, *, function: str) -> "Route":
        """Compile a template.

        Raises:
            StartError: the template has a form that is not understood.
        """
        pattern, order = "", []
        for segment in template.split("/"):
            expression, rank = _segment(segment, template, function)
            pattern += expression
            order.append((rank, segment.casefold() if rank == 0 else ""))
        shape = re.sub(r"\?P<\w+>", "?:", pattern).casefold()
        order.append((9, ""))
        return cls(template, re.compile(pattern, re.IGNORECASE), shape, tuple(order))

    def match(self, path: str) -> Mapping[str, str] | None:
        """The route parameters if the decoded path matches; None if it does not."""
        found = self.pattern.fullmatch(path.rstrip("/"))
        return {k: v for k, v in found.groupdict().items() if v is not None} if found else None


def decode_path(raw: str) -> str:
    """Percent-decode a request path as ASP.NET does: all but an encoded slash."""
    return unquote(re.sub("%2f", "%252F", raw, flags=re.IGNORECASE))


def _segment(segment: str, template: str, function: str) -> tuple[str, int]:
    whole = _PARAMETER.fullmatch(segment)
    if whole and whole["catch_all"]:
        return f"(?:/(?P<{whole['name']}>.+))?", 3
    if whole and whole["optional"]:
        return f"(?:/(?P<{whole['name']}>{_expression(whole, template, function)}))?", 2
    expression, position, rank = "/", 0, 0
    for match in _PARAMETER.finditer(segment):
        expression += re.escape(segment[position : match.start()])
        expression += f"(?P<{match['name']}>{_expression(match, template, function)})"
        rank = 1 if match["constraint"] else 2
        position = match.end()
    rest = segment[position:]
    if "{" in rest or "}" in rest:
        raise StartError(
            f"Function '{function}': the route {template} has a part that is not understood: {rest}. "
            "Write parameters as {name}, {name:int}, {name?} or {*name}."
        )
    return expression + re.escape(rest), rank


def _expression(match: re.Match[str], template: str, function: str) -> str:
    constraint = match["constraint"]
    if constraint is None:
        return "[^/]+"
    if constraint not in _CONSTRAINTS:
        raise StartError(
            f"Function '{function}': the route {template} uses the constraint '{constraint}', "
            f"which this host does not know. Use one of {', '.join(_CONSTRAINTS)}, or none."
        )
    return _CONSTRAINTS[constraint]
