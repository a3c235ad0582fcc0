"""Breaking connections: for real on a server, as the client's exception in process."""

import asyncio
import socket
import struct
from typing import Any, NoReturn

import httpx
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.emulators.dataverse.wire.messages import ODataResponse


class Connections:
    """The open connections of a server, by the client's address; empty where the application runs in process."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.BaseTransport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Make the protocol class that reports its connections here, for `uvicorn.Config(http=...)`."""
        connections = self._open

        class ReportingProtocol(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                if self.client is not None:
                    connections[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    connections.pop(self.client, None)
                super().connection_lost(exc)

        return ReportingProtocol

    async def close(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without an answer; in process raise what a client would see."""
        transport = self._transport(scope)
        if transport is None:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        transport.close()
        await _gone(receive)

    async def reset(self, scope: Scope, receive: Receive) -> None:
        """Reset the connection; in process raise what a client would see."""
        transport = self._transport(scope)
        if transport is None:
            raise httpx.ReadError("Connection reset by peer")
        raw = transport.get_extra_info("socket")
        # Closing with a linger time of zero sends RST in place of FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()
        await _gone(receive)

    async def truncate(self, response: ODataResponse, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the body under the whole body's length, then close."""
        transport = self._transport(scope)
        if transport is None:
            _raise_truncated()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(response.body) + 1).encode())]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        half = response.body[: len(response.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        transport.close()
        await _gone(receive)

    def _transport(self, scope: Scope) -> asyncio.BaseTransport | None:
        return self._open.get(tuple(scope.get("client") or ("", 0)))


async def _gone(receive: Receive) -> None:
    """Wait until the server has noticed, so that it does not answer by itself."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _raise_truncated() -> NoReturn:
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
