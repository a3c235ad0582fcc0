"""Runs the broker as a process: `python -m local.emulators.servicebus --port 5672 --queue assets --queue orders`.

Once it listens, it prints one line: `ready`, the connection string, with `--admin-port` the admin URL, and with
`--tls-port` the connection string for TLS, separated by blanks. It ends with status 0 on SIGINT and SIGTERM, and on
the end of stdin if told so.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from local.emulators.servicebus import __version__
from local.emulators.servicebus.broker import Broker, Tls
from local.emulators.servicebus.settings import QueueSettings

_STDIN = 0
_CHUNK = 4096


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.servicebus", description="An embedded message broker."
    )
    parser.add_argument("--version", action="version", version=f"servicebus emulator {__version__}")
    parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5672, help="the AMQP port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--queue", action="append", default=[], metavar="NAME", help="a queue with default settings")
    parser.add_argument("--config", type=Path, help="a JSON list of queues: name and settings; durations in seconds")
    parser.add_argument("--state", type=Path, help="a file that keeps the messages; without it they live in memory")
    parser.add_argument("--admin-port", type=int, help="also serve counts and faults over HTTP, 0 for a free port")
    parser.add_argument("--tls-port", type=int, help="also serve AMQP and WebSockets with TLS, 0 for a free port")
    parser.add_argument(
        "--certificate",
        type=Path,
        default=Path("servicebus.pem"),
        help="for TLS: a PEM file with certificate and key; it is made if it is not there (default: %(default)s)",
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when stdin ends, that is, with the parent")
    return parser


def read_queues(config: Path | None, names: list[str]) -> list[QueueSettings]:
    """The queues of the command line.

    Raises:
        ValueError: a sentence that says what is wrong, where, and what to do.
    """
    queues: list[QueueSettings] = []
    if config is not None:
        try:
            queues = TypeAdapter(list[QueueSettings]).validate_json(config.read_bytes())
        except OSError as error:
            raise ValueError(f"{config} cannot be read ({error.strerror}). Name an existing file.") from error
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise ValueError(f'{config} is not a list of queues such as [{{"name": "assets"}}]: {problems}.') from error
    queues += [QueueSettings(name) for name in names]
    if not queues:
        raise ValueError("There is no queue to serve. Name one with --queue, or a file with --config.")
    return queues


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def read_to_end() -> None:
        while os.read(_STDIN, _CHUNK):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read_to_end, daemon=True, name="stdin").start()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    queues = read_queues(arguments.config, arguments.queue)
    tls = Tls(arguments.certificate, arguments.tls_port) if arguments.tls_port is not None else None
    broker = Broker(queues, arguments.host, arguments.port, state=arguments.state, tls=tls)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(broker)
        words = ["ready", broker.connection_string]
        if arguments.admin_port is not None:
            # Only those who ask for the endpoint wait for its libraries to load.
            from local.emulators.servicebus.admin import serve_admin  # noqa: PLC0415 - see above

            words.append(await stack.enter_async_context(serve_admin(broker, arguments.admin_port)))
        if tls is not None:
            words.append(broker.tls_connection_string)
        if arguments.exit_with_stdin:
            _watch_stdin(loop, stop)
        print(*words, flush=True)  # noqa: T201 - the line that the parent process waits for
        await stop.wait()


def main() -> int:
    """Run until told to stop; 2 means that the arguments or the ports cannot be used."""
    arguments = _parser().parse_args()
    try:
        asyncio.run(_serve(arguments))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"The broker cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
