"""The embedded message broker: AMQP 1.0 on a loopback port, as the Service Bus SDKs speak it."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from local.emulators.certificate import server_context
from local.emulators.servicebus.connection import Connection
from local.emulators.servicebus.entry import Counts
from local.emulators.servicebus.faults import Faults
from local.emulators.servicebus.namespace import Namespace
from local.emulators.servicebus.settings import QueueSettings
from local.emulators.servicebus.state_file import StateFile

_MAX_CONNECTIONS = 1000
_TLS_SECONDS = 10.0  # for a client's part of the TLS handshake


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Tls:
    """A second port, with TLS, for clients that insist on it.

    Attributes:
        certificate: a PEM file with a certificate and its key, made for localhost if it is not there.
        port: 0 picks a free port.
    """

    certificate: Path
    port: int = 0


class Broker:
    """Serves queues from memory while its context is open: `async with Broker(queues) as broker`.

    Any token is accepted; keep it on the loopback interface. Port 0 picks a free port. Messages live as long as the
    broker, or in the file `state` for as long as it is there.
    """

    def __init__(
        self,
        queues: Iterable[QueueSettings],
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], datetime] = _now,
        *,
        state: Path | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Prepare the queues.

        Raises:
            ValueError: a queue is configured twice, or the state file or the certificate cannot be used.
        """
        self.host = host
        self.port = port
        self.tls_port = tls.port if tls is not None else None
        self._tls_context = server_context(tls.certificate) if tls is not None else None
        self._connections: set[Connection] = set()
        self.faults = Faults(_break=self._reset_all)
        self._state = StateFile(state) if state is not None else None
        try:
            self._namespace = Namespace(queues, clock, self.faults, self._state)
        except ValueError:
            self._close_state()
            raise
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        plain = await loop.create_server(self._accept, self.host, self.port, backlog=512)
        self._servers.append(plain)
        self.port = _port(plain)
        if self._tls_context is not None:
            try:
                encrypted = await loop.create_server(
                    self._accept,
                    self.host,
                    self.tls_port,
                    backlog=512,
                    ssl=self._tls_context,
                    ssl_handshake_timeout=_TLS_SECONDS,
                )
            except OSError:
                await self._stop_listening()
                raise
            self._servers.append(encrypted)
            self.tls_port = _port(encrypted)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and end every connection."""
        await self._stop_listening()
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
    def tls_connection_string(self) -> str:
        """The same for the port with TLS; the clients must trust the certificate."""
        return f"Endpoint=sb://localhost:{self.tls_port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local;"

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

    async def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._reset_all()
        for server in self._servers:
            server.abort_clients()  # those that have not ended their TLS handshake
            await server.wait_closed()
        self._servers.clear()

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


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
