"""What a command shows of the library's logs: nothing but that it is waiting, unless --verbose asks for all of it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, override

from rich.console import Console
from rich.markup import escape

from ops.output import plain

_RETRIES: Final = "shared.adapters.http.retry"


class _Told(logging.Handler):
    """Prints a log's text as a dim line beside the result, without the time and the module of a log line."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(escape(plain(record.getMessage())), style="dim")


@contextmanager
def quiet(console: Console, *, verbose: bool) -> Iterator[None]:
    """Set the logs up for one command, and leave them as they were.

    What an error means is said by the command itself, once. Only that a request is made again is told: without that
    line a person would look at a terminal that says nothing for minutes.
    """
    root, retries = logging.getLogger(), logging.getLogger(_RETRIES)
    # The SDKs log each failed attempt with a trace.
    loggers = [root, retries, *(logging.getLogger(name) for name in ("azure", "asyncio"))]
    levels = {logger: logger.level for logger in loggers}
    if verbose:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        target = root
        for logger in loggers:
            logger.setLevel(logging.INFO)
    else:
        handler, target = _Told(console), retries
        for logger in loggers:
            logger.setLevel(logging.WARNING if logger is retries else logging.CRITICAL)
    target.addHandler(handler)
    try:
        yield
    finally:
        target.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
