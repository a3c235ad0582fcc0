"""What Dataverse's service protection still permits our user, as each answer tells: no request is sent to be refused.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits: a user has so many requests and so many
seconds of execution in a sliding window, and every answer tells what was left of both when its request began. Other
programs may spend of the same quota, and the window may be shorter than documented: when enough is left again, the
service's next answers tell.
"""

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import Final

from shared.adapters.dataverse.chunks import AIM_SECONDS
from shared.adapters.http.gate import WIDEST
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
_HALF: Final = 0.5
"""The part of a budget with which a request is permitted, however much it may use: else a small budget permits none."""
_ASK_AGAIN: Final = 2.0
_SHORTEST: Final = 0.01
# What is kept of a budget should last for this long, in seconds.
_LAST: Final = 30.0
_ROUNDING: Final = 0.005
"""Seconds: the service tells hundredths."""


class Budget:
    """One of the two budgets: what we spent of it, and what the service told last.

    `exact` says whether the service counts what we count: a request is one for both, but the seconds that we measure
    are more than the service's, because they include the network's.
    """

    def __init__(self, *, exact: bool) -> None:
        self.total: float | None = None
        self.window_known = False
        self._exact = exact
        self._window = WINDOW
        self._learns = True
        self._spent: deque[tuple[float, float]] = deque()
        self._told = self._told_at = self._told_until = 0.0

    def spend(self, at: float, amount: float) -> None:
        """Note what we spent at an instant (monotonic seconds)."""
        self._spent.append((at, amount))

    def tell(self, left: float, at: float, until: float) -> None:
        """Learn what was left when a request began, which was answered at `until`.

        Requests that overlap may reach the service in another order: such an answer counts only where it says less.
        """
        if self.total is not None:
            if at < self._told_until and left >= self.left(at):
                return
            # Without the window's end, as much can be left as was told last, less what we have surely spent since.
            if (
                self._learns
                and at >= self._told_until
                and left > self._told - self._surely(at, self._told_until) + _ROUNDING
            ):
                self._gave_back(left, at)
        self.total = max(self.total or 0.0, left + self._surely(at))
        self._told, self._told_at, self._told_until = left, at, until

    def _gave_back(self, left: float, at: float) -> None:
        """The window is over for the oldest of our spending, and for as much more as the service has forgotten."""
        while self._spent and self._spent[0][0] <= at:
            oldest, _ = self._spent.popleft()
            self._window, self.window_known = min(self._window, at - oldest), True
            if left + self._surely(at) <= (self.total or 0.0):
                return

    def refused(self) -> None:
        """A request was refused in spite of all care: others spend as well, and what is given back may be theirs."""
        self._window, self.window_known, self._learns = WINDOW, False, False

    def left(self, now: float) -> float:
        """What is left now, as far as we know."""
        own = self._own(now)
        left = self._told + self._own(self._told_at) - own
        # What the service has already given back may still seem to be in the window.
        return left if self.total is None or not self.window_known else min(left, self.total - own)

    def more_after(self, now: float) -> float | None:
        """Seconds until the window is over for the oldest of our spending; None where it holds nothing of it."""
        return next((end - now for at, _ in self._spent if (end := at + self._window) > now), None)

    @property
    def costliest(self) -> float:
        """The most that we spent at once in the window."""
        return max((amount for _, amount in self._spent), default=0.0)

    @property
    def cheapest(self) -> float:
        """The least that we spent at once in the window, which is about what a question costs."""
        return min((amount for _, amount in self._spent), default=0.0)

    def forget(self, now: float) -> None:
        """Drop what no window can hold any more."""
        while self._spent and self._spent[0][0] <= min(now, self._told_at) - self._window:
            self._spent.popleft()

    def _surely(self, at: float, since: float = -inf) -> float:
        """What the service counts at least of our spending in the window, or of what we spent of it since then."""
        return self._own(at, since) if self._exact else 0.0

    def _own(self, at: float, since: float = -inf) -> float:
        return sum(amount for spent, amount in self._spent if max(at - self._window, since) < spent <= at)


class Quota:
    """Both budgets; a budget of which no answer has told permits everything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests = Budget(exact=True)
        self.seconds = Budget(exact=False)
        self._heard_at = 0.0

    def heard(self, headers: Mapping[str, str], seconds: float, *, asked: bool = False) -> None:
        """Learn from an answer that came after so many seconds.

        `asked` means that nothing but what is left was asked: most of the seconds are the network's then, and what the
        service used is in its next answer.
        """
        now = self._heard_at = self._clock.monotonic()
        began = now - seconds
        self.requests.spend(began, 1)
        if not asked:
            self.seconds.spend(now, seconds)
        for budget, raw in ((self.requests, headers.get(REQUESTS)), (self.seconds, headers.get(SECONDS))):
            if (left := _number(raw)) is not None:
                budget.tell(left, began, now)
            budget.forget(now)

    def refused(self) -> None:
        """Learn from a refusal (429)."""
        self.requests.refused()
        self.seconds.refused()

    def wait(self, under_way: int) -> tuple[float, bool]:
        """What to do before another request is sent, beside so many that are under way.

        Returns:
            The seconds to wait, 0 where the next request is permitted, and whether to ask then what is left.
        """
        now = self._clock.monotonic()
        for budget in (self.seconds, self.requests):
            if budget.total is None:
                continue
            left = budget.left(now)
            if not budget.window_known:
                # Nothing may be spent that is needed for asking when the window ends.
                reserve = budget.total * _RESERVE
                if left - reserve <= min(budget.costliest * under_way, budget.total * _HALF):
                    return self._question_after(budget, now), True
            elif left <= 0:
                more = budget.more_after(now)
                # Where nothing of it is ours, others have used it up, and only an answer tells when they stop.
                return (self._question_after(budget, now), True) if more is None else (max(more, _SHORTEST), False)
        return 0.0, False

    def _question_after(self, budget: Budget, now: float) -> float:
        """Seconds until the service should be asked: so seldom that what is left lasts for half a minute."""
        cost = budget.cheapest
        pause = max(_LAST * cost / max(budget.left(now), cost, _ROUNDING), _ASK_AGAIN)
        return max(self._heard_at + pause - now, _SHORTEST)

    @property
    def is_tight(self) -> bool:
        """Whether requests should go one at a time: several might use up more than is left, who knows for how long."""
        seconds = self.seconds
        if seconds.total is None or seconds.window_known:
            return False
        return seconds.left(self._clock.monotonic()) < WIDEST * AIM_SECONDS

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
