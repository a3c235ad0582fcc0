"""AMQP within a WebSocket, for clients whose network lets nothing else through.

Source: http://docs.oasis-open.org/amqp-bindmap/amqp-wsb/v1.0/amqp-wsb-v1.0.html; each binary message is a piece of the
stream, in whatever pieces the sender likes.
"""

import asyncio
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from local.emulators.servicebus.failures import ConnectionFailure

OPENING = b"GET "
"""What a client begins with that asks for a WebSocket; AMQP begins otherwise."""

_SUBPROTOCOL = "AMQPWSB10"


class WebSocketTransport:
    """Stands between a connection and its socket: the connection reads and writes AMQP, the socket WebSocket frames."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._frames = WSConnection(ConnectionType.SERVER)

    def received(self, data: bytes) -> bytes:
        """The AMQP in what came from the socket. Handshake, pings and the goodbye are answered here.

        Raises:
            ConnectionFailure: the client does not speak WebSocket.
        """
        try:
            self._frames.receive_data(data)
            return b"".join([self._on_event(event) for event in self._frames.events()])
        except (LocalProtocolError, RemoteProtocolError) as error:
            if isinstance(error, RemoteProtocolError) and error.event_hint is not None:
                self._send(error.event_hint)  # an HTTP answer, where HTTP was spoken
            raise ConnectionFailure("amqp:framing-error", f"This is no WebSocket traffic: {error}.") from error

    def write(self, data: bytes) -> None:
        """Send AMQP; nothing before or after the WebSocket's own conversation."""
        self._send(BytesMessage(data))

    def can_write_eof(self) -> bool:
        """Whether the socket has a half that can be closed."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Say goodbye as a WebSocket does."""
        self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
        self._transport.write_eof()

    def close(self) -> None:
        """Say goodbye, and end when the client has been sent everything."""
        self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
        self._transport.close()

    def abort(self) -> None:
        """End without a word."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the socket is closed or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Listen no more."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Listen again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str) -> Any:
        """What the socket's transport knows, such as the socket."""
        return self._transport.get_extra_info(name)

    def _on_event(self, event: Event) -> bytes:
        match event:
            case Request():
                welcome = _SUBPROTOCOL in event.subprotocols
                self._send(AcceptConnection(_SUBPROTOCOL) if welcome else RejectConnection(status_code=400))
                if not welcome:
                    self._transport.close()
            case BytesMessage():
                return bytes(event.data)
            case TextMessage():
                self._send(CloseConnection(CloseReason.UNSUPPORTED_DATA))
                self._transport.close()
            case Ping() | CloseConnection():
                self._send(event.response())
                if isinstance(event, CloseConnection):
                    self._transport.close()
        return b""

    def _send(self, event: Event) -> None:
        try:
            data = self._frames.send(event)
        except LocalProtocolError:
            return  # the conversation has ended, or never begun: there is nobody to hear this
        if not self._transport.is_closing():
            self._transport.write(data)
