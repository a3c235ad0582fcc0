"""A broker of the tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from integracion_dynamics.sender import Accepted, Outgoing, Refused, UnavailableError


class Queues:
    """A sender onto lists; `batch` messages a transfer, `away` queues unreachable.

    Bodies over `limit` are refused, or with `hints` shortened.
    """

    def __init__(self, batch: int = 3, limit: int = 10_000) -> None:
        self.batch, self.limit = batch, limit
        self.away: set[str] = set()
        self.hints = False
        self.die_after_transfers: int | None = None
        self.received: dict[str, list[Outgoing]] = {}
        self.attempts = 0

    def send(
        self, queue: str, messages: Sequence[Outgoing], proceed: Callable[[], bool]
    ) -> Iterator[Accepted | Refused]:
        self.attempts += 1
        if queue in self.away:
            raise UnavailableError(f"queue {queue!r}: gone")
        large = [message for message in messages if len(message.body) > self.limit]
        short = {message.sequence for message in large} if self.hints else set()
        good = [
            replace(message, body=message.hint) if message.sequence in short else message
            for message in messages
            if message not in large or self.hints
        ]
        yield from (Refused(message.sequence, "too large") for message in large if not self.hints)
        for start in range(0, len(good), self.batch):
            if not proceed():
                return
            some = good[start : start + self.batch]
            self.received.setdefault(queue, []).extend(some)
            if self.die_after_transfers is not None:
                if not self.die_after_transfers:
                    raise KeyboardInterrupt
                self.die_after_transfers -= 1
            inside = tuple(message.sequence for message in some)
            yield Accepted(inside, tuple(sequence for sequence in inside if sequence in short))

    def close(self) -> None:
        pass

    def keys(self, queue: str = "assets") -> list[str]:
        return [json.loads(message.body)["subject"] for message in self.received.get(queue, [])]

    def distinct(self, queue: str = "assets") -> list[str]:
        """The event ids as a queue with duplicate detection keeps them."""
        return list(dict.fromkeys(message.event_id for message in self.received.get(queue, [])))
