"""How a message says a number: with its noun, in the right form."""

from typing import Final

_IRREGULAR: Final = {"entity": "entities", "is": "are", "has": "have", "was": "were", "waits": "wait"}


def plural(count: int, noun: str, *, figures: bool = True) -> str:
    """A count with its noun: `1 error`, `2 errors`, `1,500 entities`; without figures the word alone."""
    *before, last = noun.split(" ")
    word = last if count == 1 else _IRREGULAR.get(last) or f"{last}s"
    text = " ".join([*before, word])
    return f"{count:,} {text}" if figures else text
