"""One AMQP session: its windows, its links, and the deliveries that wait for settlement."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never
from uuid import UUID

from local.emulators.servicebus.amqp.outcomes import OutcomeKind, address_of, error, read_outcome
from local.emulators.servicebus.amqp.performatives import Attach, Begin, Detach, Disposition, End, Flow, Transfer
from local.emulators.servicebus.amqp.values import CodecError, Described, Symbol, UInt, ULong, UShort
from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.failures import LinkFailure, SessionFailure
from local.emulators.servicebus.links import IncomingLink, OutgoingLink, QueueLink, ReplyLink, lock_lost, refused
from local.emulators.servicebus.nodes import accept_sends, cbs_requests, management_requests
from local.emulators.servicebus.session_link import SessionLink, asks_for_session

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.performatives import Performative
    from local.emulators.servicebus.connection import Connection
    from local.emulators.servicebus.namespace import Node

_WINDOW = 5000
_HANDLE_MAX = 255
_MAX_UNSETTLED = 5000
_MODULUS = 1 << 32
_SETTLED = 1  # sender-settle-mode
_REQUEST_BYTES = 1_048_576
_TRANSFER_OVERHEAD = 128  # more than a transfer's frame header and fields take
_BATCH_SIZE = Symbol("com.microsoft:max-message-batch-size")


class _Unsettled(NamedTuple):
    link: QueueLink
    token: UUID


class Session:
    """The broker's end of a session. Frames come in by `on_frame`; failures are raised to the connection."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self.connection = connection
        self.open = True
        self._channel = channel
        self._next_incoming_id = int(begin.next_outgoing_id)
        self._incoming_window = _WINDOW
        self._next_outgoing_id = 0
        self._outgoing_window = int(begin.incoming_window)
        self._next_delivery_id = 0
        self._incoming: dict[int, IncomingLink] = {}
        self._outgoing: dict[int, OutgoingLink] = {}
        self._detached: set[int] = set()
        self._unsettled: dict[int, _Unsettled] = {}
        self._waiting: deque[tuple[Transfer, bytes]] = deque()
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
        if len(self._unsettled) >= _MAX_UNSETTLED:
            self._forget_lost_locks()
        return (
            bool(self._waiting)
            or self._outgoing_window <= 0
            or len(self._unsettled) >= _MAX_UNSETTLED
            or not self.connection.writable
        )

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
        self._unsettled.clear()
        self._waiting.clear()

    def end(self, failure: SessionFailure | None = None) -> None:
        """Close and tell the client, with the reason if it is the client's fault."""
        self.close()
        self._send(End(error(failure.condition, failure.description) if failure else None))

    def wake(self) -> None:
        """Go on sending after the connection or a window was blocked."""
        while self._waiting and self._outgoing_window > 0:
            self._send_part(*self._waiting.popleft())
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
                self._on_disposition(performative)
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
                self._attach_receiver(attach, node)
            else:
                self._attach_sender(attach, node)
        except LookupError as missing:
            self._refuse(attach, LinkFailure("amqp:not-found", str(missing)))
        except CodecError as malformed:
            self._refuse(attach, LinkFailure("amqp:not-implemented", str(malformed)))
        except LinkFailure as failure:
            self._refuse(attach, failure)

    def _attach_receiver(self, attach: Attach, node: Node) -> None:
        if node.outlet is None or node.management:
            link: OutgoingLink = ReplyLink(self, attach, node.name, address_of(attach.target))
            self._outgoing[attach.handle] = link
            self._send(_reply_to_receiver(attach))
            return
        deletes, settings = attach.snd_settle_mode == _SETTLED, node.outlet.queue.settings
        if asks_for_session(attach):
            # Attached before it is known which session it gets: credit may come meanwhile.
            self._outgoing[attach.handle] = SessionLink(self, attach, node.outlet, deletes=deletes)
            return
        if settings.requires_session and node.outlet.queue.dead_letters is not None:
            raise LinkFailure(
                "amqp:not-allowed",
                f"The queue {node.name!r} requires sessions: a receiver without a session cannot be created.",
            )
        self._outgoing[attach.handle] = QueueLink(self, attach, node.outlet, deletes=deletes)
        self._send(_reply_to_receiver(attach)._replace(max_message_size=ULong(settings.max_message_bytes)))

    def confirm(self, link: SessionLink, source: Described | None, properties: dict[Any, Any]) -> None:
        """Answer the attach of a receiver that has got its session."""
        limit = ULong(link.outlet.queue.settings.max_message_bytes)
        reply = _reply_to_receiver(link.attach)
        self._send(reply._replace(source=source, properties=properties, max_message_size=limit))
        link.wake()

    def drop(self, link: SessionLink, failure: LinkFailure) -> None:
        """End a receiver of a session: there is no session for it, or it has lost the one that it had."""
        del self._outgoing[link.handle]
        link.close()
        self._forget(link)
        if link.hold is None:
            self._refuse(link.attach, failure)
        else:
            self._detach(link.handle, failure)

    def _attach_sender(self, attach: Attach, node: Node) -> None:
        reply = attach._replace(role=True, initial_delivery_count=None, unsettled=None, properties=None)
        if node.outlet is None:
            limit, on_message = _REQUEST_BYTES, cbs_requests(self.connection)
        elif node.management:
            limit, on_message = _REQUEST_BYTES, management_requests(self.connection, node.name, node.outlet)
        elif node.outlet.queue.dead_letters is None:
            raise LinkFailure("amqp:not-allowed", "A dead-letter queue takes no messages from senders.")
        else:
            limit = node.outlet.queue.settings.max_message_bytes
            on_message = accept_sends(node.outlet, self.connection.namespace.faults)
            reply = reply._replace(properties={_BATCH_SIZE: ULong(limit)})
        link = IncomingLink(self, attach, limit, on_message)
        self._incoming[attach.handle] = link
        self._send(reply._replace(max_message_size=ULong(limit)))
        link.grant()

    def _refuse(self, attach: Attach, failure: LinkFailure) -> None:
        self._send(_without_termini(attach))
        self._detach(attach.handle, failure)

    def _on_flow(self, flow: Flow) -> None:
        seen = int(flow.next_incoming_id or 0)
        window = (seen + flow.incoming_window - self._next_outgoing_id) % _MODULUS
        self._outgoing_window = window if window < _MODULUS // 2 else 0
        if self._waiting:
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

    def _on_disposition(self, disposition: Disposition) -> None:
        if not disposition.role or disposition.state is None:
            return
        delay = self.connection.namespace.faults.delay_settlements
        if delay:
            # What has reached the broker takes effect even if the connection ends meanwhile.
            found = self._take_unsettled(disposition)
            self.connection.later(delay, lambda: self._settle(disposition, found), survives=True)
        else:
            self._settle(disposition, self._take_unsettled(disposition))

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
                self._send(_without_termini(outgoing.attach))  # it has not been answered yet
            outgoing.close()
            self._forget(outgoing)
        if incoming is not None or outgoing is not None:
            self._send(Detach(handle, closed=detach.closed))

    # Settling

    def _take_unsettled(self, disposition: Disposition) -> dict[int, _Unsettled]:
        first = int(disposition.first)
        last = int(disposition.last) if disposition.last is not None else first
        if first == last:
            keys = [first] if first in self._unsettled else []
        else:
            # The range is the client's word: walk what is known, not the range.
            keys = [key for key in self._unsettled if first <= key <= last]
        return {key: self._unsettled.pop(key) for key in keys}

    def _settle(self, disposition: Disposition, found: dict[int, _Unsettled]) -> None:
        if disposition.state is None:
            return
        outcome = read_outcome(disposition.state)
        if outcome.kind is OutcomeKind.RECEIVED:
            self._unsettled |= found
            return
        # An accepted dead-lettering is confirmed by the outcome without the error that asked for it.
        bare = Described(ULong(outcome.kind), [])
        confirmed = bare if outcome.kind is OutcomeKind.REJECTED else disposition.state
        for key, (link, token) in found.items():
            refusal = link.settle(token, outcome)
            if not disposition.settled:
                self.send_disposition(role=False, first=UInt(key), state=refused(refusal) if refusal else confirmed)
        if not found and not disposition.settled:
            self.send_disposition(role=False, first=disposition.first, last=disposition.last, state=lock_lost())
        if found and not self.blocked:
            self.wake()

    def _forget(self, link: QueueLink) -> None:
        self._unsettled = {key: each for key, each in self._unsettled.items() if each.link is not link}

    def _forget_lost_locks(self) -> None:
        for key, (link, token) in list(self._unsettled.items()):
            try:
                link.outlet.queue.locked(token)
            except LockLostError:
                del self._unsettled[key]

    # What the broker sends

    def send_transfer(
        self, link: OutgoingLink, tag: bytes, payload: bytes, *, settled: bool, token: UUID | None = None
    ) -> None:
        """Send a message, in as many frames as the client's frame size asks for, as its window allows."""
        delivery_id = UInt(self._next_delivery_id)
        self._next_delivery_id = (self._next_delivery_id + 1) % _MODULUS
        if token is not None and isinstance(link, QueueLink):
            self._unsettled[delivery_id] = _Unsettled(link, token)
        room = self.connection.max_frame_size - _TRANSFER_OVERHEAD
        transfer = Transfer(link.handle, delivery_id, tag, UInt(0), settled, more=False)
        for start in range(0, max(len(payload), 1), room):
            more = start + room < len(payload)
            part = (transfer._replace(more=more), payload[start : start + room])
            if self._waiting or self._outgoing_window <= 0:
                self._waiting.append(part)
            else:
                self._send_part(*part)

    def send_flow(
        self, handle: UInt | None = None, delivery_count: int = 0, credit: int = 0, *, drain: bool = False
    ) -> None:
        """Tell the session's windows and, with a handle, a link's credit."""
        of_link = handle is not None
        self._send(
            Flow(
                next_incoming_id=UInt(self._next_incoming_id),
                incoming_window=UInt(self._incoming_window),
                next_outgoing_id=UInt(self._next_outgoing_id),
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

    def _send_part(self, transfer: Transfer, part: bytes) -> None:
        self._next_outgoing_id = (self._next_outgoing_id + 1) % _MODULUS
        self._outgoing_window -= 1
        self._send(transfer, part)

    def _send(self, performative: Performative, payload: bytes = b"") -> None:
        if self.open or isinstance(performative, End):
            self.connection.send(performative, self._channel, payload)


def _reply_to_receiver(attach: Attach) -> Attach:
    return attach._replace(role=False, initial_delivery_count=UInt(0), unsettled=None, properties=None)


def _without_termini(attach: Attach) -> Attach:
    """The answer to an attach that is refused: null termini tell the client that the detach with the reason follows."""
    return attach._replace(
        role=not attach.role,
        source=None,
        target=None,
        unsettled=None,
        initial_delivery_count=None if not attach.role else UInt(0),
        properties=None,
    )
