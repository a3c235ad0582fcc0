"""Django signals for metrics and alerts: connect a counter of your own to them.

A receiver that fails is logged by Django and changes nothing. Example::

    from integracion_dynamics import observed

    @receiver(observed.sent)
    def count(sender, queue, count, **kwargs):
        statsd.incr(f"cmms.sent.{queue}", count)
"""

from __future__ import annotations

from django.dispatch import Signal

announced = Signal()
"""Messages were written to the outbox, perhaps not committed yet: `entity` (its name), `count`."""

sent = Signal()
"""The broker took messages: `queue`, `count`, `age` (seconds that the oldest of them had waited)."""

skipped = Signal()
"""A message can never be sent and waits for a person: `queue`, `sequence`, `reason`."""

shortened = Signal()
"""A message was too large and was sent without its values: `queue`, `sequence`."""

queue_away = Signal()
"""A queue cannot be reached: `queue`, `reason`. Sent once an outage."""

queue_back = Signal()
"""A queue is reached again: `queue`."""

answered = Signal()
"""The API answered: `entity` (its name, or empty), `method`, `status`, `seconds`."""
