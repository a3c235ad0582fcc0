"""Fault injection: which requests go wrong, and how."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What happens to a request.

    Not carried out: STATUS (an error answer), HTML (an error page of a proxy), DROPPED (connection closed), RESET
    (connection reset). Carried out: LOST_ANSWER (then closed), SLOW (answered late), TRUNCATED (half of the body).
    """

    STATUS = "status"
    HTML = "html"
    DROPPED = "dropped"
    RESET = "reset"
    LOST_ANSWER = "lost_answer"
    SLOW = "slow"
    TRUNCATED = "truncated"


@dataclass(slots=True)
class Fault:
    """A rule. It matches by method, by a regular expression searched in path and query, and by kind; absent means any.

    Of the matching requests it skips the first `after`, then strikes `times` times (None: for ever). `status`, `code`,
    `message` and `retry_after` shape STATUS and HTML. SLOW waits `seconds` before the operation if
    `before`, else after.
    """

    effect: Effect
    method: str | None = None
    path: str | None = None
    kind: str | None = None
    after: int = 0
    times: int | None = 1
    status: int = 503
    code: str = "0x80040216"
    message: str = "An unexpected error occurred."
    retry_after: str | None = None
    seconds: float = 0.0
    before: bool = False
    seen: int = 0
    struck: int = 0

    def strikes(self, method: str, path: str, kind: str) -> bool:
        """Tell whether this request is hit, and count it."""
        matches = (
            self.method in {None, method}
            and self.kind in {None, kind}
            and (self.path is None or re.search(self.path, path) is not None)
        )
        if not matches:
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force; the first one that strikes wins."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Lift every rule."""
        self.rules.clear()

    def strike(self, method: str, path: str, kind: str) -> Fault | None:
        """Find the rule that hits a request."""
        return next((rule for rule in self.rules if rule.strikes(method, path, kind)), None)
