"""`make up`: the stack in the foreground, with everything that a person needs to try it."""

import argparse
import io
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from rich.console import Console

from local.examples import TOKEN, describe
from local.ports import Ports
from local.processes import StackError
from local.run import OwnCmms, write_private
from local.stack import Stack
from shared.errors import ConfigurationError
from shared.wiring import load_mapping

SETTINGS = "stack.env"
"""In the run's folder for as long as it runs: what `python -m ops --local` reads."""


class Later(io.StringIO):
    """Keeps the functions' log until the addresses are printed, the console's first; then passes it on."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out: TextIO | None = None
        self._after = out
        self._turn = threading.Lock()

    def write(self, text: str) -> int:
        """Keep a line, or pass it on."""
        with self._turn:
            return super().write(text) if self._out is None else self._out.write(text)

    def flush(self) -> None:
        """Have what was passed on seen at once."""
        if self._out is not None:
            self._out.flush()

    def release(self) -> None:
        """Pass on what was kept, and from now on each line as it comes."""
        with self._turn:
            self._out = self._after
            self._out.write(self.getvalue())
            self._out.flush()


def main() -> int:
    """Run until Ctrl-C; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.up", description="The whole product on this machine.")
    parser.add_argument("--free-ports", action="store_true", help="do not insist on the usual ports")
    parser.add_argument("--one-way", action="store_true", help="without the CMMS's API: messages carry the values")
    parser.add_argument("--hosts", type=int, default=1, help="how many functions hosts share the queues")
    parser.add_argument("--keep", action="store_true", help="go on with the last kept state, and keep it")
    parser.add_argument("--cmms-url", default="", help="a CMMS of yours; CMMS_TOKEN holds its token")
    parser.add_argument(
        "--columns", action="store_true", help="create the custom columns that SYNC_MAPPING names and Dynamics lacks"
    )
    options = parser.parse_args()
    console = Console(highlight=False)
    # By ourselves: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        return _serve(console, options)
    except StackError as error:
        _complain(console, str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running. The logs of this run stay in .local/.")
        return 0


def _serve(console: Console, options: argparse.Namespace) -> int:
    if options.hosts < 1:
        raise StackError(f"HOSTS={options.hosts} is no number of functions hosts. Use 1 or more.")
    _check_mapping()
    console.print("Starting the local stack ...")
    log = Later(sys.stdout)
    ports = Ports.free(options.hosts) if options.free_ports else Ports.usual(options.hosts)
    with Stack(
        ports,
        echo=log,
        say=lambda sentence: _complain(console, sentence),
        one_way=options.one_way,
        console=True,
        columns=options.columns,
        keep=options.keep,
        own_cmms=_own_cmms(options.cmms_url),
    ) as stack:
        write_private(stack.folder / TOKEN, stack.person_token())
        settings = "".join(f"{name}={value}\n" for name, value in stack.operator_settings().items())
        write_private(stack.folder / SETTINGS, settings)
        try:
            describe(console, stack, one_way=options.one_way)
            log.release()
            while stack.failure is None:
                time.sleep(0.3)
        finally:
            (stack.folder / SETTINGS).unlink(missing_ok=True)
        _complain(console, stack.failure)
        return 1


def _check_mapping() -> None:
    """Tell of a mapping that cannot be used before anything starts.

    Raises:
        StackError: It cannot; says where and why.
    """
    if own := os.environ.get("SYNC_MAPPING"):
        try:
            load_mapping(Path(own))
        except ConfigurationError as error:
            raise StackError(error.message) from None


def _own_cmms(url: str) -> OwnCmms | None:
    if not url:
        return None
    token = os.environ.get("CMMS_TOKEN", "")
    if not token:
        raise StackError("CMMS_URL names a CMMS, and CMMS_TOKEN is not set. Set it to the token that its API expects.")
    return OwnCmms(url.rstrip("/"), token)


def _complain(console: Console, text: str) -> None:
    # A log may hold brackets, which are no markup, and a command in the text is meant to be pasted.
    console.print(text, style="red", markup=False, soft_wrap=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
