"""What may go wrong with a side, by switch: answers that are lost, writes that land late, reads that are stale."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.errors import SyncError, Unavailable
from shared.flows.ports.engine import Failed

type Fault = SyncError | Literal["answer lost", "late", "never arrives"]


@dataclass
class Faults:
    """The next writes meet these faults, one each, the first first.

    "answer lost": the write lands, and nobody hears of it. "late": it lands when `land()` is called. "never arrives":
    it does not land. An error is the side's refusal.
    """

    next: list[Fault] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None
    """Done once, after the next write and before its answer is heard."""
    away: SyncError | None = None
    """While set, every read fails with this error."""
    stale: Mapping[str, object] | None = None
    """While set, reads show this older state."""
    _late: list[Callable[[], object]] = field(default_factory=list)

    def write[T](self, do: Callable[[], T | Failed]) -> T | Failed:
        """Do a write, or what its fault says."""
        result = self._write(do)
        if self.meanwhile is not None:
            then, self.meanwhile = self.meanwhile, None
            then()
        return result

    def _write[T](self, do: Callable[[], T | Failed]) -> T | Failed:
        if not self.next:
            return do()
        unanswered = Failed(Unavailable("the answer was lost"), unknown=True)
        match self.next.pop(0):
            case SyncError() as error:
                return Failed(error)
            case "answer lost":
                do()
            case "late":
                self._late.append(do)
            case "never arrives":
                pass
        return unanswered

    def land(self) -> list[object]:
        """Let the late writes land, each under its own condition, and give what became of them."""
        landed = [do() for do in self._late]
        self._late.clear()
        return landed

    def read[T](self, held: Mapping[str, T]) -> Mapping[str, T]:
        """What a read shows of what the side holds."""
        if self.away is not None:
            raise self.away
        return held if self.stale is None else self.stale  # type: ignore[return-value]
