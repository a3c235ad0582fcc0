"""The log's line for each message that was processed: `ops tail` and the console read it back."""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.model import Side
from shared.flows.routing.outcomes import WrittenFields

type End = Literal["applied", "already true", "retried", "parked"]

SIDES: Final[dict[Side, str]] = {"dynamics": "Dynamics", "cmms": "CMMS"}
_LINE: Final = re.compile(
    r'(?P<entity>[a-z]+) (?P<key>"(?:[^"\\]|\\.)*"|null): (?P<end>applied|already true|retried|parked)'
    r"(?: \((?P<what>[^()]*)\))?(?: after (?P<after>[0-9]+\.[0-9]) s)?(?: trace (?P<trace>[0-9a-f]{32}))?\s*\Z"
)


@dataclass(frozen=True)
class Told:
    """How one message ended. `what` is the failure's reason, or the fields that were written; `trace` its trace id.

    `after` is the age in seconds of what the message announced.
    """

    entity: str
    key: str | None
    end: End
    what: str = ""
    trace: str = ""
    after: float | None = None

    def line(self) -> str:
        """The log's text, such as `asset "0001": parked (mapping_error) after 1.2 s trace 4bf92f3577b3...`."""
        what = f" ({re.sub('[()]', '', self.what)})" if self.what else ""
        after = f" after {self.after:.1f} s" if self.after is not None else ""
        trace = f" trace {self.trace}" if self.trace else ""
        return f"{self.entity} {json.dumps(self.key)}: {self.end}{what}{after}{trace}"


def named(fields: WrittenFields) -> str:
    """Each side with the fields that were written to it, such as `Dynamics: costo, nombre; CMMS: estado`."""
    sides = {side: sorted(name for where, name in fields if where == side) for side in SIDES}
    return "; ".join(f"{SIDES[side]}: {', '.join(names)}" for side, names in sides.items() if names)


def read_line(text: str) -> Told | None:
    """What a line of the log says of a message, or None for any other line.

    The line may stand behind what a host put before it, such as a time and a level.
    """
    found = _LINE.search(text)
    if found is None or (found.start() and not text[found.start() - 1].isspace()):
        return None
    end: End = found["end"]  # type: ignore[assignment]  # the expression allows no other
    try:
        key = json.loads(found["key"])
    except ValueError:
        return None
    after = float(found["after"]) if found["after"] else None
    return Told(found["entity"], key, end, found["what"] or "", found["trace"] or "", after)


def trace_of(traceparent: str | None) -> str:
    """The trace id in a `traceparent` (https://www.w3.org/TR/trace-context/), or an empty text."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) >= 4 and re.fullmatch("[0-9a-f]{32}", parts[1]) else ""  # noqa: PLR2004  # its parts
