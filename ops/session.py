"""What every command shares: options, settings, the product's parts, output, and the meaning of exit codes."""

import asyncio
import json
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
from typing import Annotated, Final, NoReturn, override
from urllib.parse import urlsplit

import httpx
import typer
from rich.console import Console
from rich.markup import escape

from ops.activity import Activity, LogAnalytics, LogFile
from ops.logs import quiet
from ops.output import no_reader, plain, speaks_unicode, terminal_of_any_encoding
from ops.settings import LOG, WEBHOOK_URL, WORKSPACE, apply, follow_references, read_file, read_stack
from ops.vault import Vaults
from shared.adapters.dataverse.admin.metadata import DataversePlatform
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.domain.schema.mapping import EntityMapping
from shared.errors import ConfigurationError, RoutingFailed, SyncError, TransientError, Unavailable
from shared.flows.operate.overview import Overseer, Reached
from shared.flows.operate.resync import Resync
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

UNLIKELY_KEY: Final = "ops-check"
"""A business key that no record has: asking for it shows whether a side answers."""


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

    @property
    def resync(self) -> Resync:
        """Has records looked at again."""
        wiring = self.wiring
        return Resync(
            ledger=wiring.ledger,
            dynamics=wiring.dynamics,
            cmms=wiring.cmms,
            router=wiring.router,
            queues=self.queues,
            clock=wiring.clock,
            changed=self.platform,
        )

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
        sys.stdout.write(json.dumps(value, ensure_ascii=not speaks_unicode(), indent=2, default=str) + "\n")

    @cached_property
    def activity(self) -> Activity | None:
        """Where processed messages are told, or None where no setting says it."""
        if log := os.environ.get(LOG):
            return LogFile(Path(log))
        if workspace := os.environ.get(WORKSPACE):
            return LogAnalytics(workspace, self.wiring.credential)
        return None

    @cached_property
    def overseer(self) -> Overseer:
        """Everything at a glance."""
        probes: list[tuple[str, Reached]] = [("Dynamics", self.platform.who_am_i)]
        if self.wiring.cmms is not None:
            probes.append(("CMMS", self._ask_cmms))
        if self.webhook_url is not None:
            probes.append(("functions", self._ask_functions))
        return Overseer(self.queues, self.wiring.state, probes, self.wiring.clock.now)

    async def _ask_cmms(self) -> None:
        entity = next(iter(self.wiring.mapping.entities.values()))
        if self.wiring.cmms is not None:
            await self.wiring.cmms.by_key(entity, [UNLIKELY_KEY])

    async def _ask_functions(self) -> None:
        """The function app's own health page, beside the webhook."""
        address = urlsplit(self.webhook_url or "")
        url = f"{address.scheme}://{address.netloc}/api/health"
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                response = await client.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{url} gives no answer ({type(error).__name__}).") from error
        if not response.is_success:
            raise Unavailable(f"{url} answers {response.status_code}.", status=response.status_code)

    @property
    def webhook_url(self) -> str | None:
        """Where Dynamics is to call, by the settings that count for this command."""
        return os.environ.get(WEBHOOK_URL) or None

    def note(self, text: str, style: str = "") -> None:
        """Say something beside the result."""
        self.err.print(escape(plain_lines(text)), style=style)

    def agreed(self, question: str) -> bool:
        """Ask; an input that has ended is a no."""
        try:
            return typer.confirm(question, err=True)
        except typer.Abort:
            self.err.print()
            return False

    async def reach(self) -> None:
        """Ask each side one small question, before work that would wait for minutes while one is down.

        Raises:
            SyncError: A side gives no usable answer now.
        """
        with self.err.status("asking whether both sides answer"):
            await self.platform.who_am_i()
            await self._ask_cmms()

    def run(self, main: Callable[["Session"], Awaitable[int]]) -> NoReturn:
        """Do the command's work, and end with its exit code; an expected error is a sentence, not a trace."""
        terminal_of_any_encoding()
        before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt),
            signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        }
        try:
            self._settings()
            with quiet(self.err, verbose=self.verbose):
                code = asyncio.run(self._main(main))
        except UsageError as error:
            code = self._failed("usage", str(error), ExitCode.USAGE)
        except ConfigurationError as error:
            code = self._failed(error.reason, error.message + self._where_settings_are, ExitCode.USAGE)
        except (TransientError, RoutingFailed) as error:
            code = self._failed(error.reason, error.message, ExitCode.UNREACHABLE)
        except SyncError as error:
            code = self._failed(error.reason, error.message, ExitCode.FINDINGS)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.note("Interrupted. What was done is done; run the command again to go on.", "yellow")
            code = ExitCode.INTERRUPTED
        except BrokenPipeError:
            no_reader()
            code = ExitCode.FINE
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        raise typer.Exit(int(code))

    @property
    def _where_settings_are(self) -> str:
        if self.local or self.settings_file is not None:
            return ""
        return (
            "\nThese settings came from the environment. --settings FILE names a file with them, and --local the stack"
            " that 'make up' runs."
        )

    def _settings(self) -> None:
        ignored: list[str] = []
        if self.local:
            ignored += apply(read_stack())
            os.environ["NO_PROXY"] = "127.0.0.1,localhost"
        if self.settings_file is not None:
            ignored += apply(read_file(self.settings_file))
        if ignored:
            option = "--local" if self.settings_file is None else "--settings"
            self.note(f"Not used, because {option} brings its own settings: {', '.join(ignored)}.", "dim")

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


def plain_lines(text: str) -> str:
    """Text of several lines, each without what would steer a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
