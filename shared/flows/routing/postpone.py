"""What becomes of messages that arrive while the worker is misconfigured: they wait on their queue."""

import logging
from collections.abc import Sequence

from shared.domain.messages.events import parse_event
from shared.domain.words import plural
from shared.errors import ConfigurationError, InvalidMessage, Misconfigured
from shared.flows.routing.outcomes import Again, Outcome, Park
from shared.flows.routing.route import Routed, Router

log = logging.getLogger(__name__)


async def postpone(router: Router, queue: str, bodies: Sequence[bytes], error: ConfigurationError) -> None:
    """Put a batch back for later, without counting it as an attempt; after 24 hours it is parked.

    Were the function to fail instead, the broker would deliver the batch ten times within a second or two and then give
    every message up.

    Raises:
        RoutingFailed: Not all could be sent; nothing may be acknowledged.
    """
    log.error("Misconfigured: no message of %s can be processed until this is corrected: %s", queue, error.message)
    outcome = Again(Misconfigured(error.message))
    counts = await router.route(queue, [routed_unread(body, outcome) for body in bodies])
    log.warning("Put back, to be tried again by themselves: %s of %s", plural(counts.retried, "message"), queue)


def routed_unread(body: bytes, outcome: Outcome) -> Routed:
    """A message that no mapping explains, with its outcome; one that is no message is parked for that."""
    try:
        event = parse_event(body)
    except InvalidMessage as invalid:
        return Routed(body, None, None, Park(invalid))
    return Routed(body, event, event.subject, outcome)
