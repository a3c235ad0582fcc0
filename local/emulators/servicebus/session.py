"""One AMQP session: its windows, its links, and the deliveries that wait for settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from local.emulators.servicebus.amqp.outcomes import address_of, error
from local.emulators.servicebus.amqp.performatives import Attach, Begin, Detach, Disposition, End, Flow, Transfer
from local.emulators.servicebus.amqp.values import CodecError, Described, UInt, ULong, UShort
from local.emulators.servicebus.attaching import attach_receiver, attach_sender, reply_to_receiver, without_termini
from local.emulators.servicebus.failures import LinkFailure, SessionFailure
from local.emulators.servicebus.outgoing_window import OutgoingWindow
from local.emulators.servicebus.queue_link import QueueLink
from local.emulators.servicebus.reply_link import ReplyLink
from local.emulators.servicebus.session_link import SessionLink
from local.emulators.servicebus.settlements import Delivery, Settlements

if TYPE_CHECKING:
    from uuid import UUID

    from local.emulators.servicebus.amqp.performatives import Performative
    from local.emulators.servicebus.connection import Connection
    from local.emulators.servicebus.incoming_link import IncomingLink
    from local.emulators.servicebus.outgoing_link import OutgoingLink

_WINDOW = 5000
_HANDLE_MAX = 255
_MODULUS = 1 << 32
_TRANSFER_OVERHEAD = 128  # more than a transfer's frame header and fields take


class Session:
    """The broker's end of a session. Frames come in by `on_frame`; failures are raised to the connection."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self.connection = connection
        self.open = True
        self._channel = channel
        self._next_incoming_id = int(begin.next_outgoing_id)
        self._incoming_window = _WINDOW
        self._window = OutgoingWindow(int(begin.incoming_window), self._send)
        self._next_delivery_id = 0
        self._incoming: dict[int, IncomingLink] = {}
        self._outgoing: dict[int, OutgoingLink] = {}
        self._detached: set[int] = set()
        self._settlements = Settlements(self)
        self._send(
            Begin(
                remote_channel=UShort(channel),
                next_outgoing_id=UInt(0),
                incoming_window=UInt(_WINDOW),
                outgoing_window=UInt(_WINDOW),
                handle_max=UInt(_HANDLE_MAX),
            )
        )

    @property
    def blocked(self) -> bool:
        """Whether messages must wait: for the client's window, for its reading, or for its settlements."""
        return self._window.closed or self._settlements.owed or not self.connection.writable

    def close(self) -> None:
        """Drop the links; locks that are held run on until they expire."""
        self.open = False
        for link in self._incoming.values():
            link.drop_partial()
        for outgoing in self._outgoing.values():
            if isinstance(outgoing, QueueLink):
                outgoing.close()
        self._incoming.clear()
        self._outgoing.clear()
        self._settlements.clear()
        self._window.clear()

    def end(self, failure: SessionFailure | None = None) -> None:
        """Close and tell the client, with the reason if it is the client's fault."""
        self.close()
        self._send(End(error(failure.condition, failure.description) if failure else None))

    def wake(self) -> None:
        """Go on sending after the connection or a window was blocked."""
        self._window.flush()
        for link in self._outgoing.values():
            link.wake()

    def reply_links(self) -> list[ReplyLink]:
        """The links on which request-response nodes can answer."""
        return [link for link in self._outgoing.values() if isinstance(link, ReplyLink)]

    def on_frame(self, performative: Attach | Flow | Transfer | Disposition | Detach, payload: bytes) -> None:
        """Act on a frame of this session.

        Raises:
            AmqpFailure: the session or the connection must end.
        """
        match performative:
            case Attach():
                self._on_attach(performative)
            case Flow():
                self._on_flow(performative)
            case Transfer():
                self._on_transfer(performative, payload)
            case Disposition():
                self._settlements.on_disposition(performative)
            case Detach():
                self._on_detach(performative)
            case _:
                assert_never(performative)

    # What the client sends

    def _on_attach(self, attach: Attach) -> None:
        handle = attach.handle
        if handle in self._incoming or handle in self._outgoing:
            raise SessionFailure("amqp:session:handle-in-use", f"The handle {handle} is attached already.")
        if handle > _HANDLE_MAX:
            raise SessionFailure("amqp:not-allowed", f"Handles go up to {_HANDLE_MAX}.")
        self._detached.discard(handle)
        terminus = attach.source if attach.role else attach.target
        try:
            node = self.connection.namespace.node(address_of(terminus) or "")
            if attach.role:
                self._outgoing[handle], reply = attach_receiver(self, attach, node)
                if reply is not None:
                    self._send(reply)
            else:
                incoming, reply = attach_sender(self, attach, node)
                self._incoming[handle] = incoming
                self._send(reply)
                incoming.grant()
        except LookupError as missing:
            self._refuse(attach, LinkFailure("amqp:not-found", str(missing)))
        except CodecError as malformed:
            self._refuse(attach, LinkFailure("amqp:not-implemented", str(malformed)))
        except LinkFailure as failure:
            self._refuse(attach, failure)

    def confirm(self, link: SessionLink, source: Described | None, properties: dict[Any, Any]) -> None:
        """Answer the attach of a receiver that has got its session."""
        limit = ULong(link.outlet.queue.settings.max_message_bytes)
        reply = reply_to_receiver(link.attach)
        self._send(reply._replace(source=source, properties=properties, max_message_size=limit))
        link.wake()

    def drop(self, link: SessionLink, failure: LinkFailure) -> None:
        """End a receiver of a session: there is no session for it, or it has lost the one that it had."""
        del self._outgoing[link.handle]
        link.close()
        self._settlements.forget(link)
        if link.hold is None:
            self._refuse(link.attach, failure)
        else:
            self._detach(link.handle, failure)

    def _refuse(self, attach: Attach, failure: LinkFailure) -> None:
        self._send(without_termini(attach))
        self._detach(attach.handle, failure)

    def _on_flow(self, flow: Flow) -> None:
        self._window.update(flow)
        if self._window.has_waiting:
            self.wake()
        if flow.handle is None:
            self.wake()
            if flow.echo:
                self.send_flow()
        elif flow.handle in self._outgoing:
            self._outgoing[flow.handle].on_flow(flow)
        elif flow.handle in self._incoming:
            self._incoming[flow.handle].on_flow(flow)
        elif flow.handle not in self._detached:
            raise SessionFailure("amqp:session:unattached-handle", f"No link is attached as {flow.handle}.")

    def _on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) % _MODULUS
        self._incoming_window -= 1
        if self._incoming_window <= _WINDOW // 2:
            self._incoming_window = _WINDOW
            self.send_flow()
        link = self._incoming.get(transfer.handle)
        if link is not None:
            try:
                link.on_transfer(transfer, payload)
            except LinkFailure as failure:
                link.drop_partial()
                del self._incoming[transfer.handle]
                self._detach(transfer.handle, failure)
        elif transfer.handle not in self._detached:
            raise SessionFailure("amqp:session:unattached-handle", f"No link is attached as {transfer.handle}.")

    def _on_detach(self, detach: Detach) -> None:
        handle = detach.handle
        if handle in self._detached:
            self._detached.discard(handle)
            return
        incoming = self._incoming.pop(handle, None)
        if incoming is not None:
            incoming.drop_partial()
        outgoing = self._outgoing.pop(handle, None)
        if isinstance(outgoing, QueueLink):
            if isinstance(outgoing, SessionLink) and outgoing.hold is None:
                self._send(without_termini(outgoing.attach))  # it has not been answered yet
            outgoing.close()
            self._settlements.forget(outgoing)
        if incoming is not None or outgoing is not None:
            self._send(Detach(handle, closed=detach.closed))

    # What the broker sends

    def send_transfer(
        self, link: OutgoingLink, tag: bytes, payload: bytes, *, settled: bool, token: UUID | None = None
    ) -> None:
        """Send a message, in as many frames as the client's frame size asks for, as its window allows."""
        delivery_id = UInt(self._next_delivery_id)
        self._next_delivery_id = (self._next_delivery_id + 1) % _MODULUS
        if token is not None and isinstance(link, QueueLink):
            self._settlements.expect(delivery_id, Delivery(link, token))
        transfer = Transfer(link.handle, delivery_id, tag, UInt(0), settled, more=False)
        self._window.send(transfer, payload, self.connection.max_frame_size - _TRANSFER_OVERHEAD)

    def send_flow(
        self, handle: UInt | None = None, delivery_count: int = 0, credit: int = 0, *, drain: bool = False
    ) -> None:
        """Tell the session's windows and, with a handle, a link's credit."""
        of_link = handle is not None
        self._send(
            Flow(
                next_incoming_id=UInt(self._next_incoming_id),
                incoming_window=UInt(self._incoming_window),
                next_outgoing_id=UInt(self._window.next_id),
                outgoing_window=UInt(_WINDOW),
                handle=handle,
                delivery_count=UInt(delivery_count) if of_link else None,
                link_credit=UInt(credit) if of_link else None,
                drain=drain if of_link else None,
            )
        )

    def send_disposition(self, *, role: bool, first: UInt, state: Described, last: UInt | None = None) -> None:
        """Settle deliveries with `state`."""
        self._send(Disposition(role, first, last if last is not None else first, settled=True, state=state))

    def _detach(self, handle: UInt, failure: LinkFailure) -> None:
        self._detached.add(handle)
        self._send(Detach(handle, closed=True, error=error(failure.condition, failure.description)))

    def _send(self, performative: Performative, payload: bytes = b"") -> None:
        if self.open or isinstance(performative, End):
            self.connection.send(performative, self._channel, payload)
