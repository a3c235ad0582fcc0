"""What every command shares: options, settings, the product's parts, output, and the meaning of exit codes."""

import asyncio
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, NoReturn, override

import typer
from rich.console import Console
from rich.markup import escape

from ops.settings import apply, follow_references, read_file, read_stack
from ops.vault import Vaults
from shared.adapters.dataverse.admin.metadata import DataversePlatform
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.domain.schema.mapping import EntityMapping
from shared.errors import ConfigurationError, RoutingFailed, SyncError, TransientError
from shared.settings import Settings, load_settings
from shared.wiring import Wiring

Local = Annotated[bool, typer.Option("--local", help="Work on the stack that 'make up' runs on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show logs, and the whole trace of an error.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="Settings from a local.settings.json, or from 'az functionapp config appsettings list'."
        " Without it: the environment.",
    ),
]
Entity = Annotated[str, typer.Option("--entity", "-e", help="An entity of the mapping: asset or order.")]


class ExitCode(IntEnum):
    """What scripts can rely on."""

    FINE = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class UsageError(Exception):
    """The command line asks for something that does not exist."""


class OperatorWiring(Wiring):
    """The product's parts on a person's machine, where nobody else follows Key Vault references."""

    @cached_property
    def vaults(self) -> Vaults:
        """Where secrets are read."""
        return Vaults()

    @cached_property
    @override
    def settings(self) -> Settings:
        """The validated settings; references among them are followed first."""
        follow_references(self.vaults)
        return load_settings()


@dataclass
class Session:
    """One run of a command."""

    local: bool = False
    as_json: bool = False
    verbose: bool = False
    settings_file: Path | None = None
    solution: str | None = None
    wiring: Wiring = field(default_factory=OperatorWiring)
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=not sys.stdout.isatty()))
    err: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    )
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @cached_property
    def client(self) -> DataverseClient:
        """A Dataverse client for administration."""
        from shared.adapters.credentials import BearerToken  # noqa: PLC0415  # azure-identity is slow to import

        settings = self.wiring.settings
        auth = BearerToken(self.wiring.credential, settings.dynamics_365_resource_url)
        client = DataverseClient(settings.web_api_url, auth, self.wiring.clock)
        self._stack.push_async_callback(client.aclose)
        return client

    @cached_property
    def platform(self) -> DataversePlatform:
        """Definitions and registrations."""
        return DataversePlatform(self.client, self.solution)

    @cached_property
    def queues(self) -> ServiceBusQueues:
        """The receiving side of the bus."""
        return ServiceBusQueues(self.wiring.bus_settings, self.wiring.bus_credential)

    def entity(self, name: str) -> EntityMapping:
        """An entity of the mapping.

        Raises:
            UsageError: There is no such entity.
        """
        found = self.wiring.mapping.entities.get(name)
        if found is None:
            raise UsageError(f"There is no entity {name!r}: the mapping has {', '.join(self.wiring.mapping.entities)}.")
        return found

    def print_json(self, value: object) -> None:
        """The one document of `--json`."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def note(self, text: str, style: str = "") -> None:
        """Say something beside the result."""
        self.err.print(escape(text), style=style)

    def run(self, main: Callable[["Session"], Awaitable[int]]) -> NoReturn:
        """Do the command's work, and end with its exit code; an expected error is a sentence, not a trace."""
        _quiet_logs(verbose=self.verbose)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            if self.local:
                apply(read_stack())
                os.environ["NO_PROXY"] = "127.0.0.1,localhost"
            if self.settings_file is not None:
                apply(read_file(self.settings_file))
            code = asyncio.run(self._main(main))
        except UsageError as error:
            code = self._failed("usage", str(error), ExitCode.USAGE)
        except ConfigurationError as error:
            code = self._failed(error.reason, error.message, ExitCode.USAGE)
        except (TransientError, RoutingFailed) as error:
            code = self._failed(error.reason, error.message, ExitCode.UNREACHABLE)
        except SyncError as error:
            code = self._failed(error.reason, error.message, ExitCode.FINDINGS)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.note("Interrupted. What was done is done; run the command again to go on.", "yellow")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has left, as `| head` does: nothing to say, and nobody to say it to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = ExitCode.FINE
        finally:
            signal.signal(signal.SIGTERM, before)
        raise typer.Exit(int(code))

    async def _main(self, main: Callable[["Session"], Awaitable[int]]) -> int:
        async with self._stack:
            self._stack.push_async_callback(self.wiring.aclose)
            return await main(self)

    def _failed(self, reason: str, message: str, code: ExitCode) -> ExitCode:
        if self.verbose:
            self.err.print(escape(traceback.format_exc()))
        if self.as_json:
            self.print_json({"error": {"reason": reason, "message": message}})
        else:
            self.note(message, "red")
        return code


def _quiet_logs(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # The SDKs log each failed attempt with a trace; what it means is said by the command itself.
    for name in ("azure", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
