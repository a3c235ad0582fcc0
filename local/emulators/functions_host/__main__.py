"""The command line: `python -m local.emulators.functions_host --app DIR --port P`."""

import argparse
import asyncio
import logging
import os
import secrets
import sys
import time
from pathlib import Path

from local.emulators.functions_host import __version__
from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.host import Options, serve
from local.emulators.functions_host.logs import redact
from local.emulators.functions_host.settings import load_local_settings


def main() -> int:
    """Run the host; the exit code is 0 after a stop and 1 when the app cannot be served."""
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.functions_host", description="Run an Azure Functions app on this machine."
    )
    parser.add_argument("--version", action="version", version=f"functions_host emulator {__version__}")
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="HTTP port; 0 takes a free one (default: 7071)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--settings", type=Path, help="a local.settings.json; the environment wins over its Values")
    parser.add_argument(
        "--grace", type=float, default=5, help="seconds that a stop waits for running functions (default: 5)"
    )
    parser.add_argument(
        "--without-timers", action="store_true", help="run no timers by themselves: another instance of the app does"
    )
    parser.add_argument("--log-json", action="store_true", help="write the log as JSON lines")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    settings = arguments.settings.resolve() if arguments.settings else None
    try:
        if settings:
            load_local_settings(settings)
        asyncio.run(serve(_options(arguments)))
    except StartError as error:
        sys.stderr.write(f"{redact(error.details)}\nThe host cannot start. {redact(str(error))}\n".lstrip())
        return 1
    # The programming model has no shutdown hook, so the app's clients are still open, and user code may hold a thread
    # that the interpreter would wait for. Azure ends the worker's process; so does this.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _options(arguments: argparse.Namespace) -> Options:
    app_dir = arguments.app.resolve()
    if not app_dir.is_dir():
        raise StartError(f"{app_dir} is not a folder. Point --app at the folder of function_app.py.")
    os.chdir(app_dir)  # as Azure does
    os.environ["TZ"] = "UTC"  # as Azure does, whatever the zone of this machine
    time.tzset()
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    if os.environ.get("OTEL") == "console":
        # Imported here: the SDK would slow every other start down.
        from local.emulators.functions_host.telemetry import set_up_console  # noqa: PLC0415

        set_up_console()
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    function_key, master_key = (
        os.environ.get("LOCAL_HOST_FUNCTION_KEY"),
        os.environ.get("LOCAL_HOST_MASTER_KEY"),
    )
    return Options(
        app_dir=app_dir,
        address=arguments.host,
        port=arguments.port,
        function_key=function_key or secrets.token_urlsafe(24),
        master_key=master_key or secrets.token_urlsafe(24),
        keys_shown=not (function_key and master_key),
        grace=arguments.grace,
        log_json=arguments.log_json,
        exit_with_stdin=arguments.exit_with_stdin,
        runs_timers=not arguments.without_timers,
    )


if __name__ == "__main__":
    sys.exit(main())
