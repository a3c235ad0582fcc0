"""A client that must not notice what the others do."""

import asyncio

from local.emulators.servicebus.amqp.outcomes import ACCEPTED
from local.emulators.servicebus.amqp.performatives import (
    Disposition,
    Transfer,
)
from local.emulators.servicebus.tests.raw import RawClient


class Bystander:
    """A client that only wants to work."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._sent = 0

    async def works(self) -> None:
        """Send, receive and complete one message."""
        self._client.transfer(self._sent)
        self._sent += 1
        received = await self._client.expect(Transfer)
        assert received.delivery_id is not None
        self._client.send(Disposition(role=True, first=received.delivery_id, state=ACCEPTED))
        async with asyncio.timeout(30):
            while True:
                disposition = await self._client.expect(Disposition)
                if not disposition.role:
                    assert disposition.state == ACCEPTED
                    return
