"""How a message says a number: with its noun, in the right form."""

from typing import Final

_IRREGULAR: Final = {"entity": "entities", "is": "are", "has": "have", "was": "were", "waits": "wait"}


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 error`, `2 errors`, `1,500 entities`."""
    return f"{count:,} {word_for(count, noun)}"


def word_for(count: int, noun: str) -> str:
    """The noun alone, or a verb, in the form for a count: `error`, `parked messages`, `are`."""
    *before, last = noun.split(" ")
    word = last if count == 1 else _IRREGULAR.get(last, f"{last}s")
    return " ".join([*before, word])
