"""`console`: everything at a glance in the browser, and acts with the safety of the command line."""

import asyncio
import os
import secrets
import sys
import threading
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from ops.command import command
from ops.session import ExitCode, Session, UsageError

TOKEN: Final = "OPS_CONSOLE_TOKEN"  # noqa: S105  # a variable's name
"""The token of the console, where whoever starts it has to know the address beforehand, as 'make up' does."""


@command
async def console(
    session: Session,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 picks a free port.")] = 0,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    exit_with_stdin: Annotated[
        bool, typer.Option("--exit-with-stdin", hidden=True, help="Stop when stdin ends.")
    ] = False,
) -> int:
    """Serve a page on this machine: queues, messages, what is parked, records, drift; look and act.

    It listens on loopback only, under a random token in the address that it prints, and does everything as you: with
    your own sign-in, and with the safety of the command line. Nothing is installed in Azure. Ctrl-C stops it.

    For example:

    \b
        python -m ops console --local
        python -m ops console --settings app.json --no-open
    """
    if session.as_json:
        raise UsageError("The console is for the browser: 'status --json' prints the same for programs.")
    try:
        from ops.console.app import create_app  # noqa: PLC0415  # of the group ops, which only this command needs
        from ops.console.desk import Desk  # noqa: PLC0415
        from ops.console.server import listen, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The console needs {error.name}, of the dependency group 'ops' in pyproject.toml: 'make' installs it."
        ) from None
    given = os.environ.pop(TOKEN, "")
    token = given or secrets.token_urlsafe(24)
    title = urlsplit(session.wiring.settings.dynamics_365_resource_url).netloc
    listener = listen(port)
    number = listener.getsockname()[1]
    app = create_app(Desk(session, title), token=token, port=number)
    url = f"http://127.0.0.1:{number}/?token={token}"
    session.out.print("console ready", soft_wrap=True)
    # Whoever gave the token knows the address, and this may go to a log.
    shown = url if not given else f"http://127.0.0.1:{number}/"
    session.out.print(f"The console of {title}: {shown}", soft_wrap=True)
    stop = asyncio.Event()
    if exit_with_stdin:
        loop = asyncio.get_running_loop()
        threading.Thread(target=_wait_for_end, args=(loop, stop), daemon=True).start()
    if open_page:
        typer.launch(url)
    await serve(app, listener, stop)
    session.note("Stopped.")
    return ExitCode.FINE


def _wait_for_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while sys.stdin.buffer.read1(65536):  # type: ignore[union-attr]  # the process's own input
        continue
    loop.call_soon_threadsafe(stop.set)
