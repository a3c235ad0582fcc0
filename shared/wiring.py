"""The composition root: what the functions use, built on first use, once per worker. Tests override the parts."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from inspect import isawaitable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from shared.domain.messages.queues import OF_ENTITY
from shared.domain.schema.mapping import Mapping, parse_mapping
from shared.errors import ConfigurationError
from shared.settings import BusSettings, Settings, load_bus_settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.adapters.ledger import AzureTableLedger, SqliteLedger
    from shared.flows.ports.engine import Bus, Clock, Cmms, Dynamics, Reports, State
    from shared.flows.receive import Receiver
    from shared.flows.reconcile import Reconciler
    from shared.flows.routing.route import Router
    from shared.flows.sync import Sync

# Adapters and flows are imported where they are built: what an invocation does not use, a cold start does not load.
# ruff: noqa: PLC0415


WITH_CONNECTIONS: Final = (
    "dynamics",
    "cmms",
    "bus",
    "ledger",
    "reports",
    "backups",
    "dynamics_credential",
    "credential",
)
"""The parts that hold something open, the credentials last: closing may still need them."""

BUILT_ON_OTHERS: Final = ("router", "sync", "receiver", "reconciler")
"""The parts that would go on using what was closed. Looking at dead letters opens and closes connections of its own."""


class Wiring:
    """The parts and how they hang together. Every part is built when it is first asked for, and kept."""

    @cached_property
    def settings(self) -> Settings:
        """The validated settings."""
        return load_settings()

    @cached_property
    def bus_settings(self) -> BusSettings:
        """What the queues need; known also where other settings are wrong, so that messages can be put off."""
        try:
            return self.settings
        except ConfigurationError as others:
            try:
                return load_bus_settings()
            except ConfigurationError as own:
                # What is wrong with each alone comes first, and hides what is wrong between them.
                raise ConfigurationError(f"{others.message}\n{own.message}") from None

    @cached_property
    def mapping(self) -> Mapping:
        """The field table."""
        return load_mapping(self.settings.sync_mapping)

    @cached_property
    def clock(self) -> Clock:
        """Time."""
        from shared.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def credential(self) -> AsyncTokenCredential:
        """The worker's own credential, for Azure's services: it caches its tokens."""
        from shared.adapters.credentials import platform_credential

        return platform_credential(self.bus_settings)

    @cached_property
    def dynamics_credential(self) -> AsyncTokenCredential:
        """The credential for Dynamics: the worker's own, unless the document's client secret is set."""
        from shared.adapters.credentials import make_credential

        if not self.settings.dynamics_365_client_secret.get_secret_value():
            return self.credential
        return make_credential(self.settings)

    @property
    def bus_credential(self) -> AsyncTokenCredential | None:
        """The credential for the queues: None where a connection string takes its place, as in the local stack."""
        return None if self.bus_settings.service_bus_connection.get_secret_value() else self.credential

    @cached_property
    def bus(self) -> Bus:
        """The queues."""
        from shared.adapters.service_bus.sender import ServiceBus

        return ServiceBus(self.bus_settings, self.bus_credential)

    @cached_property
    def dynamics(self) -> Dynamics:
        """The Dynamics side."""
        from shared.adapters.credentials import BearerToken
        from shared.adapters.dataverse import DataverseGateway
        from shared.adapters.dataverse.client import DataverseClient
        from shared.flows.record_keys import LinkedKeys

        auth = BearerToken(self.dynamics_credential, self.settings.dynamics_365_resource_url)
        client = DataverseClient(self.settings.web_api_url, auth, self.clock)
        if not self.mapping.refers_to_itself or self.cmms is None:
            return DataverseGateway(client, self.clock)
        return DataverseGateway(client, self.clock, LinkedKeys(self.mapping, self.ledger, self.cmms, self.clock))

    @cached_property
    def cmms(self) -> Cmms | None:
        """The CMMS side, or None in one-way mode."""
        from shared.adapters.cmms.client import CmmsGateway

        if not self.settings.cmms_base_url:
            return None
        return CmmsGateway(self.settings.cmms_base_url, self.settings.cmms_token.get_secret_value(), self.clock)

    @cached_property
    def ledger(self) -> AzureTableLedger | SqliteLedger:
        """The memory of the last agreement."""
        from shared.adapters.ledger import AzureTableLedger, SqliteLedger

        where = self.settings.sync_ledger
        if where.startswith("sqlite:///"):
            return SqliteLedger(Path(where.removeprefix("sqlite:///")))
        # Without TLS it is Azurite on this machine, which knows no tokens.
        return AzureTableLedger(where, self.credential if where.startswith("https://") else None)

    @cached_property
    def router(self) -> Router:
        """Retry and park."""
        from shared.flows.routing.route import Router

        return Router(self.bus, self.clock, Random())  # noqa: S311  # jitter, not a secret

    @cached_property
    def sync(self) -> Sync:
        """The engine."""
        from shared.flows.sync import Sync

        return Sync(self.mapping, self.ledger, self.dynamics, self.cmms, self.router, clock=self.clock)

    async def handle(self, entity: str, bodies: Sequence[bytes]) -> None:
        """Have the engine process a batch; where it cannot be built, the messages wait on their queue.

        Raises:
            RoutingFailed: An outcome could not be written down; the broker must redeliver the batch.
            ConfigurationError: Not even the queues can be reached with these settings.
        """
        try:
            sync = self.sync
        except ConfigurationError as error:
            from shared.flows.routing.postpone import postpone

            await postpone(self.router, OF_ENTITY[entity].name, bodies, error)
        else:
            await sync.handle(entity, bodies)

    @cached_property
    def receiver(self) -> Receiver:
        """The webhook's use case."""
        from shared.flows.receive import Receiver

        return Receiver(self.mapping, self.bus, self.organization_id, self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        """The timer's use case."""
        from shared.adapters.service_bus.dead_letters import ServiceBusDeadLetters
        from shared.flows.reconcile import Policy, Reconciler
        from shared.flows.reconcile.dead_letters import DeadLetterMover

        settings = self.settings
        letters = ServiceBusDeadLetters(settings, self.bus_credential)
        return Reconciler(
            self.mapping,
            self.ledger,
            self.dynamics,
            self.cmms,
            self.router,
            clock=self.clock,
            policy=Policy(
                settings.reconcile_settle,
                full_every=timedelta(hours=settings.reconcile_full_every),
                max_repairs=settings.reconcile_max_repairs,
                mode=settings.reconcile_mode,
            ),
            state=self.state,
            reports=self.reports,
            retention=timedelta(days=settings.report_retention_days),
            letters=DeadLetterMover(letters, self.bus, self.clock),
            requests=self.requests,
        )

    @property
    def state(self) -> State:
        """What the reconciliation remembers between runs: both ledgers keep it."""
        return self.ledger

    @cached_property
    def reports(self) -> Reports | None:
        """Where reports are kept, or None where they are not."""
        from shared.adapters.reports import BlobReports, FolderReports

        where = self.settings.report_location
        if not where:
            return None
        return BlobReports(where, self.credential) if "://" in where else FolderReports(Path(where))

    @cached_property
    def backups(self) -> Reports | None:
        """Where backups of the ledger are kept, or None where they are not."""
        from shared.adapters.reports import BlobReports, FolderReports

        where = self.settings.backup_location
        if not where:
            return None
        return BlobReports(where, self.credential) if "://" in where else FolderReports(Path(where))

    async def back_up(self) -> str | None:
        """Keep a backup of the ledger's table.

        Returns:
            Where it is, such as `https://account.blob.core.windows.net/backups/ledger-20260131T023000Z.jsonl.gz`; None
            where none is kept, or the ledger is a file on this machine.

        Raises:
            SyncError: The table cannot be read, or the backup cannot be kept.
        """
        from shared.adapters.ledger.backup import exported

        where = self.settings.sync_ledger
        if self.backups is None or where.startswith("sqlite:///"):
            return None
        content = await exported(where, self.credential if where.startswith("https://") else None)
        name = f"ledger-{self.clock.now():%Y%m%dT%H%M%SZ}.jsonl.gz"
        return await self.backups.save(name, content, "application/gzip")

    def requests(self) -> dict[str, int]:
        """The requests sent to either side so far, by its name."""
        return {"Dynamics": self.dynamics.requests} | ({"the CMMS": self.cmms.requests} if self.cmms else {})

    async def organization_id(self) -> UUID:
        """Our organization: from the settings, else asked of Dynamics once."""
        return self.settings.dynamics_365_organization_id or await self.dynamics.organization_id()

    async def aclose(self) -> None:
        """Close the connections of every part that was built, and forget it: the next use builds it again."""
        for name in BUILT_ON_OTHERS:
            self.__dict__.pop(name, None)
        for name in WITH_CONNECTIONS:
            part = self.__dict__.pop(name, None)
            close = getattr(part, "aclose", None) or getattr(part, "close", None)
            if close is not None:
                result = close()
                if isawaitable(result):
                    await result


def load_mapping(path: Path) -> Mapping:
    """Read the mapping file.

    Raises:
        ConfigurationError: The file is missing, unreadable or wrong; says where.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte order mark before it is skipped
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The mapping file {path} cannot be read ({type(error).__name__}): set SYNC_MAPPING to a file in UTF-8."
        ) from None
    return parse_mapping(text, f"file {path}")


wiring = Wiring()
"""This worker's parts."""
