"""Puts the parts together: start, serve until told to stop, stop."""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from local.emulators.functions_host.admin import Admin
from local.emulators.functions_host.dispatcher import Dispatcher
from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.functions import Function, HttpTrigger, QueueTrigger, TimerTrigger, describe
from local.emulators.functions_host.host_json import HostJson, load_host_json
from local.emulators.functions_host.logs import set_up_logging
from local.emulators.functions_host.timers import TimerListener
from local.emulators.functions_host.web import MAX_BODY_BYTES, HttpListener, Keys
from local.emulators.functions_host.worker import Worker

if TYPE_CHECKING:
    from local.emulators.functions_host.queues import QueueListener

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to run. `port` 0 takes a free one. `keys_shown`: the keys were made up here and have to be told.

    `grace` is how long, in seconds, a stop waits for running functions. `runs_timers`: of the instances of an app only
    one runs its timers; those of the others run on demand.
    """

    app_dir: Path
    address: str
    port: int
    function_key: str
    master_key: str
    keys_shown: bool
    grace: float
    log_json: bool
    exit_with_stdin: bool
    runs_timers: bool


async def serve(options: Options) -> bool:
    """Run the app until SIGINT, SIGTERM or (on request) the end of standard input.

    Returns:
        Whether everything stopped by itself; False if user code had to be left running.

    Raises:
        StartError: the app cannot be served.
    """
    stop = asyncio.Event()
    _stop_on(stop, with_stdin=options.exit_with_stdin)
    host_json = load_host_json(options.app_dir)
    try:
        set_up_logging(host_json.logging.log_level, as_json=options.log_json)
    except ValueError as error:
        raise StartError(f"{options.app_dir / 'host.json'}: {error}. Correct it.") from error
    worker = Worker(options.app_dir)
    worker.start()
    try:
        functions = describe(await worker.index(), host_json.extensions.http.route_prefix)
        clean = await _serve_functions(options, host_json, functions, worker, stop)
    finally:
        stopped = await asyncio.to_thread(worker.stop, options.grace / 2)
    return clean and stopped


async def _serve_functions(
    options: Options, host_json: HostJson, functions: list[Function], worker: Worker, stop: asyncio.Event
) -> bool:
    dispatcher = Dispatcher(worker, functions, host_json.function_timeout)
    timers = {f.name: TimerListener(f, dispatcher) for f in functions if isinstance(f.trigger, TimerTrigger)}
    keys = Keys(function=options.function_key, master=options.master_key)
    listeners: list[QueueListener | TimerListener] = [
        *_queue_listeners(functions, dispatcher, host_json),
        *(timers.values() if options.runs_timers else ()),
    ]
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.add_routes(Admin(functions, timers, dispatcher, keys).routes())
    application.router.add_route("*", "/{path:.*}", HttpListener(functions, dispatcher, keys).handle)
    runner = web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,  # a function sees the body as it was sent
        max_field_size=32 * 1024,  # Kestrel's limit for all headers together
        shutdown_timeout=options.grace,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.address, options.port)
        try:
            await site.start()
        except OSError as error:
            raise StartError(
                f"Port {options.port} of {options.address} cannot be listened on "
                f"({error.strerror or error}). "
                "Stop what uses it, or choose another with --port (0 takes a free one)."
            ) from error
        tasks = [asyncio.create_task(listener.run()) for listener in listeners]
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())  # a listener ends early only by a defect
        _announce(options, functions, runner.addresses[0][1])
        await stop.wait()
        _logger.info("Stopping")
        for listener in listeners:
            listener.stop()
        await site.stop()
        drained = await dispatcher.drain(options.grace)
        if not drained:
            _logger.warning(
                "A function still ran %g s after the stop and was left: its messages come again",
                options.grace,
            )
            for task in tasks:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
    finally:
        await runner.cleanup()
    return drained


def _queue_listeners(functions: list[Function], dispatcher: Dispatcher, host_json: HostJson) -> list["QueueListener"]:
    queues = [(f, f.trigger) for f in functions if isinstance(f.trigger, QueueTrigger)]
    if not queues:
        return []
    # The Service Bus SDK is slow to import, and an app without queues starts without it.
    from local.emulators.functions_host.connection import connector  # noqa: PLC0415
    from local.emulators.functions_host.queues import QueueListener  # noqa: PLC0415

    options = host_json.extensions.service_bus
    return [
        QueueListener(function, connector(trigger.connection, function=function.name), dispatcher, options)
        for function, trigger in queues
    ]


def _announce(options: Options, functions: list[Function], port: int) -> None:
    base = f"http://{options.address}:{port}"
    entries = []
    for function in functions:
        trigger = function.trigger
        if isinstance(trigger, HttpTrigger):
            text = f"[{','.join(sorted(trigger.methods))}] {base}/{trigger.route.template}"
        elif isinstance(trigger, QueueTrigger):
            text = f"serviceBusTrigger '{trigger.queue}' ({'many' if trigger.many else 'one'})"
        else:
            text = f"timerTrigger '{trigger.schedule.text}'"
        entries.append((function.name, text))
    if options.log_json:
        lines = [json.dumps({"message": "ready", "url": base, "functions": dict(entries)})]
    else:
        lines = ["", "Functions:", "", *(f"    {name}: {text}" for name, text in entries)]
        lines += ["", f"Listening on {base}"]
        if options.keys_shown:
            lines += [f"Function key: {options.function_key}", f"Master key: {options.master_key}"]
        lines += ["ready"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _stop_on(stop: asyncio.Event, *, with_stdin: bool) -> None:
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.is_set():
            os._exit(130)  # asked twice: at once
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)

    def wait_for_end_of_input() -> None:
        # os.read, because a thread inside sys.stdin's lock at exit would abort the interpreter.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    if with_stdin:
        threading.Thread(target=wait_for_end_of_input, name="stdin", daemon=True).start()
