"""What Dataverse's service protection still permits our user, as each answer tells: no request is sent to be refused.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits: a user has so many requests and so many
seconds of execution in a sliding window, and every answer tells what was left of both when its request began. Other
programs may spend of the same quota, and the window may be shorter than documented: when enough is left again, the
service's next answers tell.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from shared.flows.ports.engine import Clock

REQUESTS: Final = "x-ms-ratelimit-burst-remaining-xrm-requests"
SECONDS: Final = "x-ms-ratelimit-time-remaining-xrm-requests"
WINDOW: Final = 300.0
"""Seconds, as documented."""
PLENTY: Final = 1000
"""Requests: as long as so many are left, time is what a batch should save. Microsoft's limit is 6,000 in 5 minutes."""

_RESERVE: Final = 0.05
"""The part of a budget that is kept for asking what is left."""
_SCARCE: Final = 0.25
_ASK_AGAIN: Final = 2.0
# What is kept of the requests should last for this long, in seconds.
_LAST: Final = 60.0


class Budget:
    """One of the two budgets: what we spent of it, and what the service told last."""

    def __init__(self) -> None:
        self.total: float | None = None
        self.window_known = False
        self._window = WINDOW
        self._spent: deque[tuple[float, float]] = deque()
        self._told = self._told_at = 0.0

    def spend(self, at: float, amount: float) -> None:
        """Note what we spent at an instant (monotonic seconds)."""
        self._spent.append((at, amount))

    def tell(self, left: float, at: float) -> None:
        """Learn what was left at an instant."""
        known = left + self._own(at)
        if self.total is None:
            self.total = known
        while known > self.total * 1.001 and self._spent and self._spent[0][0] <= at:
            # More is left than our spending allows for: the window is over for the oldest of it.
            oldest, _ = self._spent.popleft()
            self._window, self.window_known = min(self._window, at - oldest), True
            known = left + self._own(at)
        self.total = max(self.total, known)
        self._told, self._told_at = left, at

    def left(self, now: float) -> float:
        """What is left now, as far as we know."""
        return self._told + self._own(self._told_at) - self._own(now)

    def more_after(self, now: float) -> float:
        """Seconds until the window is over for the oldest of our spending."""
        return max(self._spent[0][0] + self._window - now, 0.0) if self._spent else 0.0

    @property
    def costliest(self) -> float:
        """The most that we spent at once in the window."""
        return max((amount for _, amount in self._spent), default=0.0)

    def forget(self, now: float) -> None:
        """Drop what no window can hold any more."""
        while self._spent and self._spent[0][0] <= min(now, self._told_at) - self._window:
            self._spent.popleft()

    def _own(self, at: float) -> float:
        return sum(amount for spent, amount in self._spent if at - self._window < spent <= at)


class Quota:
    """Both budgets; a budget of which no answer has told permits everything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests = Budget()
        self.seconds = Budget()

    def heard(self, headers: Mapping[str, str], seconds: float) -> None:
        """Learn from an answer that came after so many seconds."""
        now = self._clock.monotonic()
        began = now - seconds
        self.requests.spend(began, 1)
        self.seconds.spend(now, seconds)
        for budget, raw in ((self.requests, headers.get(REQUESTS)), (self.seconds, headers.get(SECONDS))):
            if (left := _number(raw)) is not None:
                budget.tell(left, began)
            budget.forget(now)

    def wait(self, under_way: int) -> tuple[float, bool]:
        """What to do before another request is sent, beside so many that are under way.

        Returns:
            The seconds to wait, 0 where the next request is permitted, and whether to ask then what is left.
        """
        now = self._clock.monotonic()
        for budget, cost, pause in (
            (self.seconds, self.seconds.costliest, _ASK_AGAIN),
            (self.requests, 1.0, _LAST / max(self.requests.left(now), 1.0)),
        ):
            if budget.total is None:
                continue
            left = budget.left(now) - budget.total * _RESERVE
            if budget.window_known and left <= 0:
                return max(budget.more_after(now), 0.01), False
            # Without knowing when it ends, nothing may be spent that is needed for asking.
            if not budget.window_known and left <= cost * under_way:
                return max(pause, _ASK_AGAIN), True
        return 0.0, False

    def parallel(self, width: int) -> int:
        """Into how many requests at a time a batch should be cut, where `width` may be under way.

        As many as possible while requests are plenty: the batch is written soonest. Else few and large ones.
        """
        total, left = self.requests.total, self.requests.left(self._clock.monotonic())
        if total is None or left >= PLENTY:
            return width
        return min(width, 2) if left > total * _SCARCE else 1


def _number(raw: str | None) -> float | None:
    """A header's number, such as `5998` or `1,197.25`."""
    try:
        return float((raw or "").replace(",", ""))
    except ValueError:
        return None
