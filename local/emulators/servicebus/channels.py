"""The frames of an open connection: which session each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulators.servicebus.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from local.emulators.servicebus.failures import ConnectionFailure, SessionFailure
from local.emulators.servicebus.session import Session

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.frames import Frame
    from local.emulators.servicebus.connection import Connection
    from local.emulators.servicebus.reply_link import ReplyLink

CHANNEL_MAX = 255


class Channels:
    """The sessions of a connection, by channel."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._opened = False
        self._sessions: dict[int, Session] = {}

    def on_frame(self, frame: Frame) -> None:
        """Act on what the client sent.

        Raises:
            AmqpFailure: the connection must end.
        """
        performative = frame.performative
        if performative is None:
            return
        if isinstance(performative, SaslMechanisms | SaslInit | SaslOutcome):
            raise ConnectionFailure("amqp:not-allowed", "SASL is over.")
        if isinstance(performative, Open):
            self._on_open(performative)
        elif not self._opened:
            raise ConnectionFailure("amqp:not-allowed", "The first frame must be an open.")
        elif isinstance(performative, Close):
            self._connection.close()
        elif isinstance(performative, Begin):
            self._on_begin(frame.channel, performative)
        else:
            self._on_session_frame(frame.channel, performative, frame.payload)

    def wake(self) -> None:
        """Go on sending after the connection was blocked."""
        for session in list(self._sessions.values()):
            session.wake()

    def close(self) -> None:
        """Drop every session; locks that are held run on until they expire."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def reply_links(self) -> list[ReplyLink]:
        """The links on which request-response nodes can answer."""
        return [link for session in self._sessions.values() for link in session.reply_links()]

    def _on_open(self, frame: Open) -> None:
        if self._opened:
            raise ConnectionFailure("amqp:not-allowed", "The connection is open already.")
        self._opened = True
        self._connection.opened(frame)

    def _on_begin(self, channel: int, frame: Begin) -> None:
        if channel > CHANNEL_MAX or channel in self._sessions:
            raise ConnectionFailure("amqp:not-allowed", f"Channel {channel} is in use or above {CHANNEL_MAX}.")
        self._sessions[channel] = Session(self._connection, channel, frame)

    def _on_session_frame(
        self,
        channel: int,
        performative: Attach | Flow | Transfer | Disposition | Detach | End,
        payload: bytes,
    ) -> None:
        session = self._sessions.get(channel)
        if session is None:
            return  # a client may go on for a while on a channel whose session has ended
        if isinstance(performative, End):
            del self._sessions[channel]
            session.end()
            return
        try:
            session.on_frame(performative, payload)
        except SessionFailure as failure:
            del self._sessions[channel]
            session.end(failure)
