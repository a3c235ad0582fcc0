"""One client's connection: its sessions, and the limits that keep it from harming others."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING, cast

from local.emulators.servicebus.amqp.frames import FrameReader, to_frame
from local.emulators.servicebus.amqp.outcomes import error
from local.emulators.servicebus.amqp.performatives import Close, Open
from local.emulators.servicebus.amqp.values import CodecError, UInt, UShort
from local.emulators.servicebus.channels import CHANNEL_MAX, Channels
from local.emulators.servicebus.failures import AmqpFailure, ConnectionFailure
from local.emulators.servicebus.handshake import Handshake, Progress
from local.emulators.servicebus.output import Output
from local.emulators.servicebus.websocket import OPENING, WebSocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from local.emulators.servicebus.amqp.performatives import Performative
    from local.emulators.servicebus.namespace import Namespace

_LOG = logging.getLogger(__name__)

_MAX_FRAME = 65_536
_MIN_FRAME = 512  # the smallest that AMQP permits
_FRAMES_PER_TURN = 200  # then the others have their turn
_PARTIAL_LIMIT = 8_388_608  # bytes of unfinished messages over all links
_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0
_MIN_HEARTBEAT_SECONDS = 0.5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """The server's end of an AMQP connection."""

    max_frame_size = _MIN_FRAME

    def __init__(self, namespace: Namespace, connections: set[Connection]) -> None:
        self.namespace = namespace
        self._connections = connections
        self._closed = False
        self._beginning: bytes | None = b""
        self._reader = FrameReader(_MAX_FRAME)
        self._handshake = Handshake(self._reader)
        self._channels = Channels(self)
        self._turn_soon: asyncio.Handle | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._goodbye: asyncio.TimerHandle | None = None
        self._held = 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless a fault says otherwise."""
        self._transport: asyncio.Transport | WebSocketTransport = cast("asyncio.Transport", transport)
        self._output = Output(self._transport, self._channels.wake)
        self._loop = asyncio.get_running_loop()
        self._connections.add(self)
        if self.namespace.faults.refuse_connections:
            self.reset()
            return
        self._goodbye = self._loop.call_later(_HANDSHAKE_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop everything; locks that are held run on until they expire."""
        del exc
        self._connections.discard(self)
        self._closed = True
        self._channels.close()
        self._output.stop()
        for handle in (self._turn_soon, self._heartbeat, self._goodbye, *self._timers):
            if handle is not None:
                handle.cancel()
        self._timers.clear()

    def data_received(self, data: bytes) -> None:
        """Act on what the client sent."""
        if self._closed:
            return
        if self._beginning is not None:
            self._beginning = data = self._beginning + data
            if len(data) < len(OPENING):
                return  # too little to tell AMQP from a WebSocket
            self._beginning = None
            if data.startswith(OPENING) and isinstance(self._transport, asyncio.Transport):
                self._transport = self._output.transport = WebSocketTransport(self._transport)
        self._guarded(lambda: self._feed(data))
        self._turn()

    def pause_writing(self) -> None:
        """Neither send to a client that does not read, nor listen to it."""
        self._output.paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._output.paused = False
        self._channels.wake()
        self._turn()

    # What sessions and the broker call

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with reading."""
        return self._output.has_room

    def send(self, performative: Performative, channel: int = 0, payload: bytes = b"") -> None:
        """Send a frame with this turn's output."""
        if not self._closed:
            self._output.write(to_frame(performative, channel, payload))

    def opened(self, frame: Open) -> None:
        """Answer the client's open, and keep the connection alive as it asks."""
        if self._goodbye is not None:
            self._goodbye.cancel()
        wanted = int(frame.max_frame_size) if frame.max_frame_size is not None else _MAX_FRAME
        self.max_frame_size = max(_MIN_FRAME, min(wanted, _MAX_FRAME))
        self.send(Open("local-servicebus", max_frame_size=UInt(_MAX_FRAME), channel_max=UShort(CHANNEL_MAX)))
        if frame.idle_time_out:
            self._beat(max(frame.idle_time_out / 2000, _MIN_HEARTBEAT_SECONDS))

    def reply(self, node: str, reply_to: object, payload: bytes) -> None:
        """Answer a request on the link that the client attached to `node` for it, if there is one."""
        links = [link for link in self._channels.reply_links() if link.node == node]
        named = [link for link in links if link.target == reply_to]
        for link in (named or links)[-1:]:
            link.reply(payload)

    def hold(self, size: int) -> None:
        """Count the bytes of unfinished messages.

        Raises:
            ConnectionFailure: the client leaves too many messages unfinished.
        """
        self._held += size
        if self._held > _PARTIAL_LIMIT:
            raise ConnectionFailure("amqp:resource-limit-exceeded", "Too much data in unfinished messages.")

    def later(self, delay: timedelta, call: Callable[[], None], *, survives: bool = False) -> None:
        """Call after `delay`; not at all if the connection ends before, unless the call `survives` that."""

        def run() -> None:
            self._timers.discard(timer)
            self._guarded(call)

        timer = self._loop.call_later(delay.total_seconds(), run)
        if not survives:
            self._timers.add(timer)

    def reset(self) -> None:
        """End without a word, as a broken network does."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def close(self, failure: AmqpFailure | None = None) -> None:
        """Say goodbye, with the reason if the client is at fault, and end soon even if it does not read."""
        if self._closed:
            return
        if self._handshake.progress is Progress.DONE:
            self.send(Close(error(failure.condition, failure.description) if failure else None))
        self._closed = True
        self._channels.close()
        self._output.flush()
        for handle in (self._goodbye, self._heartbeat):
            if handle is not None:
                handle.cancel()
        if not self._transport.is_closing():
            self._hang_up()

    def _hang_up(self) -> None:
        try:
            if self._transport.can_write_eof():
                # Hanging up on unread data would reset the connection, and the client might never see the reason.
                self._transport.write_eof()
                self._transport.resume_reading()
            else:  # TLS has no half that can be closed
                self._transport.close()
        except OSError:  # the client has hung up already
            self._transport.abort()
        else:
            self._goodbye = self._loop.call_later(_GOODBYE_SECONDS, self._transport.abort)

    # Reading

    def _feed(self, data: bytes) -> None:
        if isinstance(self._transport, WebSocketTransport):
            data = self._transport.received(data)
        self._reader.feed(data)

    def _turn(self) -> None:
        """Act on the frames so far, up to a turn's worth."""
        self._turn_soon = None
        if not self._output.paused:
            self._guarded(self._read)
        if self._closed or self._transport.is_closing():
            return
        if self._output.paused or self._turn_soon is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _guarded(self, call: Callable[[], None]) -> None:
        """Turn whatever goes wrong into the end of this connection, and of nothing else."""
        try:
            call()
        except CodecError as malformed:
            self.close(ConnectionFailure("amqp:decode-error", str(malformed)))
        except AmqpFailure as failure:
            self.close(failure)
        except Exception:  # noqa: BLE001 - one client's frame must never stop the others
            _LOG.exception("The broker failed on a client's frame; only this connection ends.")
            self.close(ConnectionFailure("amqp:internal-error", "The broker failed on this frame."))

    def _read(self) -> None:
        for _ in range(_FRAMES_PER_TURN):
            if self._closed or not self._step():
                return
            if not self.writable:
                break
        self._turn_soon = self._loop.call_soon(self._turn)

    def _step(self) -> bool:
        """Act on the next header or frame; False if it has not come yet."""
        if self._handshake.progress is Progress.DONE:
            frame = self._reader.frame()
            if frame is not None:
                self._channels.on_frame(frame)
            return frame is not None
        answer = self._handshake.step()
        if answer is not None:
            self._output.write(answer)
        if self._handshake.progress is Progress.REFUSED:
            self.close()
        return answer is not None

    def _beat(self, seconds: float) -> None:
        if self._heartbeat is not None:
            self._output.write(to_frame(None))
        self._heartbeat = self._loop.call_later(seconds, self._beat, seconds)
