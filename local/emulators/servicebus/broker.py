"""The embedded message broker: AMQP 1.0 on a loopback port, as the Service Bus SDKs speak it."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from local.emulators.servicebus.connection import Connection
from local.emulators.servicebus.entry import Counts
from local.emulators.servicebus.faults import Faults
from local.emulators.servicebus.namespace import Namespace
from local.emulators.servicebus.settings import QueueSettings
from local.emulators.servicebus.state_file import StateFile

_MAX_CONNECTIONS = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class Broker:
    """Serves queues from memory while its context is open: `async with Broker(queues) as broker`.

    There is no TLS and any token is accepted; keep it on the loopback interface. Port 0 picks a free port.
    Messages live as long as the broker, or in the file `state` for as long as it is there.
    """

    def __init__(
        self,
        queues: Iterable[QueueSettings],
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], datetime] = _now,
        state: Path | None = None,
    ) -> None:
        """Prepare the queues.

        Raises:
            ValueError: a queue is configured twice, or the state file cannot be used.
        """
        self.host = host
        self.port = port
        self._connections: set[Connection] = set()
        self.faults = Faults(_break=self._reset_all)
        self._state = StateFile(state) if state is not None else None
        try:
            self._namespace = Namespace(queues, clock, self.faults, self._state)
        except ValueError:
            self._close_state()
            raise
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self.host, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            self._reset_all()
            await self._server.wait_closed()
            self._server = None
        for entity in self._namespace.entities.values():
            entity.close()
        self._close_state()

    @property
    def connection_string(self) -> str:
        """What the SDKs connect with; the key is a placeholder, since nothing checks it."""
        return (
            f"Endpoint=sb://{self.host}:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=local;UseDevelopmentEmulator=true;"
        )

    @property
    def queue_names(self) -> list[str]:
        """The queues, by name."""
        return [entity.queue.settings.name for entity in self._namespace.entities.values()]

    def counts(self, name: str) -> Counts:
        """How many messages the queue holds, by state.

        Raises:
            LookupError: there is no such queue.
        """
        return self._namespace.entity(name).queue.counts()

    def _close_state(self) -> None:
        if self._state is not None:
            self._state.close()

    def _accept(self) -> asyncio.BaseProtocol:
        if len(self._connections) >= _MAX_CONNECTIONS:
            return _Refused()
        return Connection(self._namespace, self._connections)

    def _reset_all(self) -> int:
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)


class _Refused(asyncio.Protocol):
    """A connection above the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()
