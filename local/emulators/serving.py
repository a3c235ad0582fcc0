"""Run an ASGI application on a loopback port: free port, ready line, clean stop."""

import asyncio
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from local.emulators.certificate import server_context

_URL_LIMIT = 512 * 1024


class AnnouncingServer(uvicorn.Server):
    """A uvicorn server that prints `<name> ready http://127.0.0.1:<port>`, or https, once it accepts connections."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Start listening, then say where."""
        await super().startup(list(sockets) if sockets else None)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            scheme = "https" if self.config.is_ssl else "http"
            print(f"{self._name} ready {scheme}://127.0.0.1:{port}", flush=True)  # noqa: T201 - the line that starters wait for


def run(
    app: ASGIApp, *, port: int, name: str, exit_with_stdin: bool, http: Any = "h11", certificate: Path | None = None
) -> None:
    """Serve `app` until SIGINT, SIGTERM or, with `exit_with_stdin`, the end of standard input.

    A request in flight gets 3 seconds to end. A port in use ends the process with status 1 and a message. With a
    `certificate`, a PEM file that is made if it is not there, clients speak HTTPS.

    Raises:
        ValueError: the certificate cannot be used.
    """
    if certificate is not None:
        server_context(certificate)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=http,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        ssl_certfile=certificate,
        h11_max_incomplete_event_size=_URL_LIMIT,
    )
    server = AnnouncingServer(config, name)
    if exit_with_stdin:
        # A daemon thread: nothing can interrupt a blocking read, and the process must not wait for it.
        threading.Thread(target=_stop_at_end_of_stdin, args=(server,), daemon=True).start()
    try:
        asyncio.run(server.serve())
    except KeyboardInterrupt:
        # uvicorn raises the signal again after its clean stop, for the shell's sake.
        return


def _stop_at_end_of_stdin(server: uvicorn.Server) -> None:
    while os.read(0, 65536):
        continue
    server.should_exit = True
