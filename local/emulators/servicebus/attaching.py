"""What a client's attach leads to: the broker's end of the link, and the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from local.emulators.servicebus.amqp.outcomes import address_of
from local.emulators.servicebus.amqp.values import Symbol, UInt, ULong
from local.emulators.servicebus.failures import LinkFailure
from local.emulators.servicebus.incoming_link import IncomingLink
from local.emulators.servicebus.nodes import accept_sends, cbs_requests, management_requests
from local.emulators.servicebus.queue_link import QueueLink
from local.emulators.servicebus.reply_link import ReplyLink
from local.emulators.servicebus.session_link import SessionLink, asks_for_session

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.performatives import Attach
    from local.emulators.servicebus.namespace import Node
    from local.emulators.servicebus.outgoing_link import OutgoingLink
    from local.emulators.servicebus.session import Session

_SETTLED = 1  # sender-settle-mode
_REQUEST_BYTES = 1_048_576
_BATCH_SIZE = Symbol("com.microsoft:max-message-batch-size")


class Receiving(NamedTuple):
    """The link to a client's receiver, and the attach that answers; None: it follows when there is a session."""

    link: OutgoingLink
    reply: Attach | None


def attach_receiver(session: Session, attach: Attach, node: Node) -> Receiving:
    """Make the sending end of a client's receiver.

    Raises:
        LinkFailure: this node cannot be received from like this.
    """
    if node.outlet is None or node.management:
        return Receiving(ReplyLink(session, attach, node.name, address_of(attach.target)), reply_to_receiver(attach))
    deletes, queue = attach.snd_settle_mode == _SETTLED, node.outlet.queue
    if asks_for_session(attach):
        return Receiving(SessionLink(session, attach, node.outlet, deletes=deletes), None)
    if queue.settings.requires_session and queue.dead_letters is not None:
        raise LinkFailure(
            "amqp:not-allowed",
            f"The queue {node.name!r} requires sessions: a receiver without a session cannot be created.",
        )
    limit = ULong(queue.settings.max_message_bytes)
    reply = reply_to_receiver(attach)._replace(max_message_size=limit)
    return Receiving(QueueLink(session, attach, node.outlet, deletes=deletes), reply)


def attach_sender(session: Session, attach: Attach, node: Node) -> tuple[IncomingLink, Attach]:
    """Make the receiving end of a client's sender, and the attach that answers.

    Raises:
        LinkFailure: nobody can send to this node.
    """
    reply = attach._replace(role=True, initial_delivery_count=None, unsettled=None, properties=None)
    if node.outlet is None:
        limit, on_message = _REQUEST_BYTES, cbs_requests(session.connection)
    elif node.management:
        limit, on_message = _REQUEST_BYTES, management_requests(session.connection, node.name, node.outlet)
    elif node.outlet.queue.dead_letters is None:
        raise LinkFailure("amqp:not-allowed", "A dead-letter queue takes no messages from senders.")
    else:
        limit = node.outlet.queue.settings.max_message_bytes
        on_message = accept_sends(node.outlet, session.connection.namespace.faults)
        reply = reply._replace(properties={_BATCH_SIZE: ULong(limit)})
    return IncomingLink(session, attach, limit, on_message), reply._replace(max_message_size=ULong(limit))


def reply_to_receiver(attach: Attach) -> Attach:
    """The answer to the attach of a receiver."""
    return attach._replace(role=False, initial_delivery_count=UInt(0), unsettled=None, properties=None)


def without_termini(attach: Attach) -> Attach:
    """The answer to an attach that is refused: null termini tell the client that the detach with the reason follows."""
    return attach._replace(
        role=not attach.role,
        source=None,
        target=None,
        unsettled=None,
        initial_delivery_count=None if not attach.role else UInt(0),
        properties=None,
    )
