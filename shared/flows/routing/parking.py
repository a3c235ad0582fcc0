"""Sending to `parked`, in a way that one message never holds back the others, whatever foreign senders put into it.

Service Bus takes 64 KB of properties and headers with a message, 32 KB in one of them, and 256 KB in all. A message
that its own queue just took becomes too large for `parked` by the reason that is put beside it.
"""

from collections.abc import Mapping, Sequence
from copy import replace
from typing import Any, Final

from shared.domain.jsontext import dumps
from shared.domain.messages.queues import PARKED
from shared.errors import TooLarge
from shared.flows.ports.engine import Bus, Outgoing

LONGEST_TEXT: Final = 4096
"""Bytes of one property or of a subject: a dozen of them and a history stay well below 64 KB."""
MOST_FAILURES: Final = 20
"""Entries of a history: more would say nothing new and could outgrow the message."""
LONGEST_HISTORY: Final = 16 * 1024
CUT_FROM: Final = "cut_from"
"""The property that says of how many bytes a message was of which only the beginning was parked."""
_REASON: Final = ("reason", "source_queue")
"""What remains of a message's properties where nothing else fits: replaying needs the queue."""


def bounded(text: str) -> str:
    """The beginning of a text, as much as a property or subject may hold."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= LONGEST_TEXT else raw[:LONGEST_TEXT].decode("utf-8", "ignore")


def printable(text: str) -> str:
    """A foreign text for one line of a log: characters that a terminal would act on are written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def bounded_history(failures: Sequence[Mapping[str, Any]]) -> str:
    """The newest failures, as many as a property may hold: the older ones may be a foreign sender's, of any size."""
    kept = [dict(failure) for failure in failures[-MOST_FAILURES:]]
    while len(kept) > 1 and len(dumps(kept).encode("utf-8", "replace")) > LONGEST_HISTORY:
        del kept[0]
    return dumps(kept)


async def send_what_fits(bus: Bus, queue: str, messages: Sequence[Outgoing]) -> list[int]:
    """Send messages; answers the places of those that are larger than the queue takes. All others were sent.

    Raises:
        TransientError: Not all could be sent; some may have been.
    """
    if not messages:
        return []
    try:
        await bus.send(queue, messages)
    except TooLarge as error:
        refused = {id(message) for message in error.refused}
        return [place for place, message in enumerate(messages) if id(message) in refused]
    return []


async def park(bus: Bus, messages: Sequence[Outgoing]) -> list[int]:
    """Park messages; those that are too large again with nothing but their reason.

    Answers the places of those that are too large even so. All others were sent.

    Raises:
        TransientError: Not all could be sent; some may have been.
    """
    large = await send_what_fits(bus, PARKED.name, messages)
    still = await send_what_fits(bus, PARKED.name, [_bare(messages[place]) for place in large])
    return [large[place] for place in still]


def _bare(message: Outgoing) -> Outgoing:
    return replace(message, subject=None, properties={name: message.properties[name] for name in _REASON})
