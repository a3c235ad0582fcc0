"""What goes wrong in a run, how often: drawn from the seed, so that each seed has its own mixture of troubles.

Each kind is either absent, rare or frequent. A run in which everything goes wrong at once hides more than it shows.
"""

from dataclasses import dataclass, fields
from random import Random


@dataclass
class Weather:
    """Probabilities per request or per message; `skew` in seconds."""

    kill: float = 0.0
    stall: float = 0.0
    lost_answer: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    throttled: float = 0.0
    broken: float = 0.0
    ledger_down: float = 0.0
    bus_down: float = 0.0
    resend: float = 0.0
    lose_lock: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    webhook_lost: float = 0.0
    webhook_twice: float = 0.0
    relay_again: float = 0.0
    outage: float = 0.0
    stale: float = 0.0
    skew: float = 5.0

    def calm(self) -> None:
        """Let nothing go wrong any more; clocks stay skewed."""
        for kind in fields(self):
            if kind.name != "skew":
                setattr(self, kind.name, 0.0)


_RARE_AND_FREQUENT = {
    "kill": (0.004, 0.03),
    "stall": (0.003, 0.02),
    "lost_answer": (0.01, 0.08),
    "late": (0.01, 0.08),
    "refused": (0.01, 0.05),
    "throttled": (0.01, 0.08),
    "broken": (0.01, 0.05),
    "ledger_down": (0.005, 0.03),
    "bus_down": (0.005, 0.03),
    "resend": (0.05, 0.3),
    "lose_lock": (0.02, 0.1),
    "reorder": (0.1, 0.5),
    "delay": (0.1, 0.4),
    "webhook_lost": (0.02, 0.15),
    "webhook_twice": (0.05, 0.2),
    "relay_again": (0.05, 0.2),
    "outage": (0.1, 0.5),
    "stale": (0.01, 0.05),
}


def draw_weather(rng: Random) -> Weather:
    """Draw each kind: absent in half of the runs, rare in a third, frequent in the others."""
    weather = Weather()
    for name, (rare, frequent) in _RARE_AND_FREQUENT.items():
        setattr(weather, name, rng.choices((0.0, rare, frequent), (3, 2, 1))[0])
    weather.skew = rng.choices((5.0, 30.0), (3, 1))[0]  # in either direction: two clocks are up to a minute apart
    return weather
