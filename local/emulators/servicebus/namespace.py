"""What the connections of one broker share: its queues, by address, and its faults."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.entity import Entity, Outlet
from local.emulators.servicebus.faults import Faults
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.session_queue import SessionQueue
from local.emulators.servicebus.settings import QueueSettings
from local.emulators.servicebus.state_file import StateFile

CBS = "$cbs"
_MANAGEMENT = "$management"
_DEAD_LETTERS = "$deadletterqueue"
_TRANSFER = "$transfer"
_SUB_QUEUES = {_DEAD_LETTERS, _TRANSFER}


class Node(NamedTuple):
    """What an address names: a queue's outlet, the management node beside it, or (no outlet) `$cbs`."""

    name: str
    outlet: Outlet | None = None
    management: bool = False


class Namespace:
    """The queues of a broker."""

    def __init__(
        self,
        queues: Iterable[QueueSettings],
        clock: Callable[[], datetime],
        faults: Faults,
        state: StateFile | None = None,
    ) -> None:
        self.entities: dict[str, Entity] = {}
        self.faults = faults
        for settings in queues:
            key = settings.name.strip("/").casefold()
            if key in self.entities:
                raise ValueError(f"Queue {settings.name!r} is configured twice. Remove one of the two.")
            keeper = state.keeper(key) if state is not None else None
            kind: type[Queue[Message]] = SessionQueue if settings.requires_session else Queue
            queue = kind(settings, clock, keeper=keeper)
            self.entities[key] = Entity(queue, clock)

    def entity(self, name: str) -> Entity:
        """The queue of that name, in any case.

        Raises:
            LookupError: there is none.
        """
        entity = self.entities.get(name.strip("/").casefold())
        if entity is None:
            known = ", ".join(sorted(self.entities)) or "none"
            # The JavaScript SDK tells a missing queue from other failures by the first half of this sentence.
            raise LookupError(f"The messaging entity {name!r} could not be found; the queues are: {known}.")
        return entity

    def node(self, address: str) -> Node:
        """What `address` names: a path such as `queue/$DeadLetterQueue/$management`, or a URL with one.

        Raises:
            LookupError: nothing.
        """
        try:
            path = urlsplit(address).path if "://" in address else address
        except ValueError as error:
            raise LookupError(f"The address {address[:200]!r} is not a URL.") from error
        parts = unquote(path).strip("/").casefold().split("/")
        name = "/".join(parts)
        if name == CBS:
            return Node(CBS)
        management = parts[-1] == _MANAGEMENT
        if management:
            parts.pop()
        sub_queue = [part for part in parts if part in _SUB_QUEUES]
        entity = self.entity("/".join(parts[: len(parts) - len(sub_queue)]))
        outlets = {(): entity.main, (_DEAD_LETTERS,): entity.dead_letters, (_TRANSFER, _DEAD_LETTERS): entity.transfer}
        outlet = outlets.get(tuple(sub_queue))
        if outlet is None:
            raise LookupError(f"The messaging entity {address[:200]!r} could not be found.")
        return Node(name, outlet, management)
