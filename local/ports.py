"""Where the parts of the local stack listen."""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Final, Self

from local.processes import StackError

_PATIENCE: Final = 8.0


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

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody uses right now."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in fields(cls)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(one.getsockname()[1] for one in sockets))

    def wait_free(self) -> None:
        """Wait until every port can be taken: a stack that was killed needs a moment to end.

        Raises:
            StackError: One is still in use.
        """
        until = time.monotonic() + _PATIENCE
        for name, port in vars(self).items():
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
