"""Where the parts of the local stack listen."""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from local.processes import StackError

_PATIENCE: Final = 8.0
_MORE_HOSTS: Final = 7081


@dataclass(frozen=True)
class Ports:
    """Where each part listens on 127.0.0.1."""

    host: int = 7071
    dataverse: int = 7072
    cmms: int = 7073
    identity: int = 7074
    servicebus: int = 5673
    servicebus_admin: int = 7075
    console: int = 7076
    more_hosts: tuple[int, ...] = ()
    """Of the functions hosts after the first."""

    @classmethod
    def usual(cls, hosts: int = 1) -> Self:
        """The ports that are in the documents; further functions hosts listen from 7081 on."""
        return cls(more_hosts=tuple(range(_MORE_HOSTS, _MORE_HOSTS + hosts - 1)))

    @classmethod
    def free(cls, hosts: int = 1) -> Self:
        """Ports that nobody uses right now."""
        with ExitStack() as stack:
            single = [one.name for one in fields(cls) if one.name != "more_hosts"]
            sockets = [stack.enter_context(socket.socket()) for _ in range(len(single) + hosts - 1)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            numbers = [one.getsockname()[1] for one in sockets]
            chosen: dict[str, Any] = dict(zip(single, numbers, strict=False))
            return cls(**chosen, more_hosts=tuple(numbers[len(single) :]))

    def named(self) -> list[tuple[str, int]]:
        """Each port with its part's name."""
        single = [(name, port) for name, port in vars(self).items() if isinstance(port, int)]
        return [*single, *((f"host {number}", port) for number, port in enumerate(self.more_hosts, start=2))]

    def wait_free(self) -> None:
        """Wait until every port can be taken: a stack that was killed needs a moment to end.

        Raises:
            StackError: One is still in use.
        """
        until = time.monotonic() + _PATIENCE
        for name, port in self.named():
            while True:
                try:
                    with socket.socket() as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise StackError(
                            f"Port {port} ({name}) is in use, perhaps by another 'make up'. End what uses it, or start"
                            " on free ports with 'make up FREE_PORTS=1'."
                        ) from None
                    time.sleep(0.2)
