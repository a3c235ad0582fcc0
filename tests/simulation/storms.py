"""A message that makes another one like it never ends: it is known by how often one record is written."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

MOST: Final = 30
"""Writes of one record or row by the integration within a minute; in good runs there are a few."""
A_MINUTE: Final = 60.0


class Storms:
    """Ends the play where the integration writes one record or row without end."""

    def __init__(self) -> None:
        self._lately: defaultdict[tuple[str, str, str], deque[float]] = defaultdict(lambda: deque(maxlen=MOST))
        self.found: list[str] = []
        """Faults."""
        self.end: Callable[[], object] = lambda: None
        """Ends the play."""

    def written(self, side: str, entity: str, name: str, now: float) -> None:
        """The integration has written the record or row with this id."""
        times = self._lately[side, entity, name]
        times.append(now)
        if not self.found and len(times) == MOST and now - times[0] <= A_MINUTE:
            self.found.append(f"{now:.3f}: {side} {entity} {name} was written {MOST} times within a minute")
            self.end()
