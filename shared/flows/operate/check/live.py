"""The whole check, line by line as it goes: reach, sign-in, definitions, registration, privileges."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.domain import link
from shared.domain.messages.queues import ALL, PARKED
from shared.domain.schema.mapping import EntityMapping, Mapping
from shared.domain.words import plural, word_for
from shared.errors import NotAuthorized, SyncError, Throttled, Unavailable
from shared.flows.operate.check.access import (
    compare_column_access,
    compare_endpoint,
    compare_privileges,
    compare_steps,
    compare_target_privileges,
)
from shared.flows.operate.check.findings import Finding, error, ok, warning
from shared.flows.operate.check.lookups import compare_lookups, targets_of
from shared.flows.operate.check.tables import compare_table
from shared.flows.operate.overview import BACKLOG
from shared.flows.operate.parked import Queues
from shared.flows.operate.required import ENDPOINT, mapped_columns
from shared.flows.ports.engine import Cmms, Ledger, State
from shared.flows.ports.platform import ColumnAccess, Platform, TableInfo, User
from shared.flows.reconcile.checkpoint import brake_of

SLOW: Final = 2.0
"""Seconds from which an answer is worth a warning."""

_UNLIKELY_KEY: Final = "ops-check"
_OWN_FAULT: Final = 500


@dataclass(frozen=True)
class Identity:
    """Who a token is for: never the token. `name` is a person's or the identity's client id."""

    name: str
    tenant: str
    audience: str


@dataclass(frozen=True)
class Expected:
    """What the settings say: `application` is the functions' client id; `secrets` are the live ones, current first.

    `url` is the webhook's address and `organization` its id, if known; `mapping_file` and `cmms_url` are for people.
    """

    resource_url: str
    organization: UUID | None
    application: str
    header: str
    secrets: tuple[str, ...]
    url: str | None
    mapping_file: str
    cmms_url: str


@dataclass(frozen=True)
class World:
    """What is checked. `sign_in` gets a token; `now` tells the time."""

    expected: Expected
    mapping: Mapping
    platform: Platform
    queues: Queues
    ledger: Ledger
    state: State
    cmms: Cmms | None
    sign_in: Callable[[], Awaitable[Identity]]
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Described:
    """An entity with its table's definition, and those of the tables that its lookups refer to."""

    entity: EntityMapping
    table: TableInfo
    targets: dict[str, TableInfo | None]


class Checker:
    """Looks at everything; what cannot be reached is a finding, and the rest goes on."""

    def __init__(self, world: World, *, slow: float = SLOW) -> None:
        self._world = world
        self._slow = slow
        self.unreachable = False

    @property
    def _where(self) -> dict[str, str]:
        """The settings that decide who is asked, by area."""
        return {
            "sign-in": "is AZURE_CLIENT_ID right, or elsewhere than in Azure, did 'az login' sign you in? ",
            "dynamics": "is DYNAMICS_365_RESOURCE_URL right, and does it answer? ",
            "service bus": "is ServiceBusConnection__fullyQualifiedNamespace right, and does it answer? ",
            "storage": "is SYNC_LEDGER right, and does it answer? ",
            "cmms": f"is CMMS_BASE_URL right ({self._world.expected.cmms_url}), is CMMS_TOKEN, and does it answer? ",
        }

    async def run(self) -> AsyncIterator[Finding]:
        """Every finding, as it is known."""
        world = self._world
        names = ", ".join(world.mapping.entities)
        yield ok("settings", "settings", "complete")
        yield ok("settings", "mapping", f"{world.expected.mapping_file}: {names}")
        if world.cmms is None:
            yield ok("settings", "mode", "one-way: messages carry the values, nothing is written to the CMMS")
        async for finding in self._dynamics():
            yield finding
        for findings in await asyncio.gather(*(self._queue(queue.name) for queue in ALL)):
            for finding in findings:
                yield finding
        yield await self._timed("storage", "ledger", "SYNC_LEDGER", self._read_ledger)
        async for finding in self._brake():
            yield finding
        for entity in world.mapping.entities.values():
            async for finding in self._memory(entity):
                yield finding
            if world.cmms is not None:
                async for finding in self._cmms(world.cmms, entity):
                    yield finding

    async def _dynamics(self) -> AsyncIterator[Finding]:
        world = self._world
        audience = world.expected.resource_url
        try:
            identity = await world.sign_in()
        except SyncError as problem:
            yield self._failed("sign-in", audience, problem)
            return
        shown = f"{identity.name}, tenant {identity.tenant}"
        yield ok("sign-in", "identity", shown)
        started = time.monotonic()
        try:
            who = await world.platform.who_am_i()
        except NotAuthorized as problem:
            action = (
                f"the token is for {identity.audience}: DYNAMICS_365_RESOURCE_URL must be the organization's own"
                " address, and the identity an enabled application user there"
            )
            yield error("dynamics", audience, problem.message, action)
            return
        except SyncError as problem:
            yield self._failed("dynamics", audience, problem)
            return
        yield self._latency("dynamics", audience, time.monotonic() - started, f"organization {who.organization}")
        expected = world.expected.organization
        if expected is not None and expected != who.organization:
            message = f"DYNAMICS_365_ORGANIZATION_ID is {expected}: every webhook of this organization is refused"
            yield error("dynamics", "organization", message, f"set it to {who.organization}, or remove it")
        try:
            async for finding in self._definitions():
                yield finding
        except SyncError as problem:
            yield self._failed("dynamics", "metadata", problem)

    async def _definitions(self) -> AsyncIterator[Finding]:
        world = self._world
        described: list[Described] = []
        for entity in world.mapping.entities.values():
            table = await world.platform.table(entity.table, mapped_columns(entity))
            for finding in compare_table(entity, table):
                yield finding
            if table is not None:
                names = targets_of(entity).items()
                targets = {name: await world.platform.table(name, columns) for name, columns in names}
                described.append(Described(entity, table, targets))
                for finding in compare_lookups(entity, table, targets):
                    yield finding
        endpoint = await world.platform.endpoint(ENDPOINT)
        expected = world.expected
        for finding in compare_endpoint(endpoint, expected.url, expected.header, expected.secrets):
            yield finding
        steps = [] if endpoint is None else await world.platform.steps(endpoint.id)
        for one in described if endpoint is not None else ():
            for finding in compare_steps(one.entity, steps):
                yield finding
        async for finding in self._privileges(described):
            yield finding

    async def _privileges(self, described: list[Described]) -> AsyncIterator[Finding]:
        user, problem = await self._application_user()
        if problem is not None:
            yield problem
        if user is None:
            return
        try:
            held = await self._world.platform.privileges(user.id)
            access = await self._column_access(described, user)
        except NotAuthorized as refusal:
            action = "sign in as an administrator to have them checked"
            yield warning("privileges", user.name, f"its privileges cannot be read: {refusal.message}", action)
            return
        for one in described:
            for finding in (
                *compare_privileges(one.entity, one.table, user, held),
                *compare_target_privileges(one.entity, one.targets.values(), user, held),
                *compare_column_access(one.entity, one.table, user, access),
            ):
                yield finding

    async def _column_access(self, described: list[Described], user: User) -> dict[UUID, ColumnAccess]:
        if not any(column.secured for one in described for column in one.table.columns.values()):
            return {}
        return await self._world.platform.column_access(user.id)

    async def _application_user(self) -> tuple[User | None, Finding | None]:
        platform, application = self._world.platform, self._world.expected.application
        if not application:
            user = await platform.user(user_id=(await platform.who_am_i()).user)
            message = "AZURE_CLIENT_ID is not set: the user that is signed in here was checked instead"
            return user, warning("privileges", "application user", message, "set it to the functions' identity")
        user = await platform.user(application_id=application)
        if user is None:
            message = f"no application user has the client id {application}"
            action = "add it in the Power Platform admin center, with a security role"
            return None, error("privileges", "application user", message, action)
        if user.disabled:
            return user, error("privileges", "application user", f"{user.name} is disabled", "enable it")
        return user, ok("privileges", "application user", f"{user.name} ({application})")

    async def _queue(self, name: str) -> list[Finding]:
        try:
            probe, survey = await self._world.queues.probe(name), await self._world.queues.survey(name)
        except SyncError as problem:
            return [self._failed("service bus", name, problem)]
        found: list[Finding] = []
        if survey.dead:
            since = self._waited(survey.oldest_dead)
            message = f"has {plural(survey.dead, 'dead letter')}, the oldest for {since}"
            action = (
                "the next reconciliation moves them to parked: then replay them; the runbook's section dead-letters"
                " says what causes them"
            )
            if name == PARKED.name:
                action = "look at them in the portal (Service Bus Explorer): nothing takes them from there"
            found.append(error("service bus", name, message, action))
        if probe.oldest is None:
            return [*found, self._latency("service bus", name, probe.seconds, "empty")]
        more = " or more" if survey.more else ""
        count = plural(survey.waiting + survey.scheduled, "message")
        waiting = f"{count}{more}, the oldest for {self._waited(probe.oldest)}"
        if name == PARKED.name:
            return [*found, warning("service bus", name, f"holds {waiting}", "'parked list' shows them")]
        if survey.oldest is not None and self._world.now() - survey.oldest > BACKLOG:
            action = (
                "is the function app running? 'status' shows it; else the runbook's section backlog says why it waits"
            )
            return [*found, warning("service bus", name, f"holds {waiting}", action)]
        return [*found, self._latency("service bus", name, probe.seconds, f"holds {waiting}")]

    def _waited(self, since: datetime | None) -> str:
        return "an unknown time" if since is None else _age((self._world.now() - since).total_seconds())

    async def _brake(self) -> AsyncIterator[Finding]:
        try:
            brake = await brake_of(self._world.state)
        except SyncError:
            return  # the line of the ledger says so
        if brake is not None and not brake.allowance:
            message = f"is on: it holds {plural(brake.held, 'repair')} of {plural(brake.ledger_rows, 'known record')}"
            action = (
                "look at the report of drift; then correct the mapping, or let them go with"
                " 'drift --release-brake \"your name\"'"
            )
            yield error("reconciliation", "brake", message, action)

    async def _memory(self, entity: EntityMapping) -> AsyncIterator[Finding]:
        """Whether a page of the ledger was agreed under the mapping of now."""
        links: list[link.Link] = []
        try:
            async for page in self._world.ledger.scan(entity.name):
                links = [one for one in page if isinstance(one, link.Link)]
                break
        except SyncError:
            return  # the line of the ledger says so
        rules = entity.fingerprints
        remapped = sorted(
            {name for one in links for name, base in one.bases.items() if base.rule != rules.get(name, base.rule)}
        )
        if remapped:
            message = (
                f"{', '.join(remapped)}: mapped otherwise than when both sides last agreed, so that"
                f" {word_for(len(remapped), 'field')} and records meet for the first time again"
            )
            action = (
                "'mapping plan' counts what that writes; the runbook's section after-changing-the-mapping tells more"
            )
            yield warning("storage", f"mapping of {entity.name}", message, action)

    async def _read_ledger(self) -> None:
        await self._world.ledger.find("asset", [link.Identity("key", _UNLIKELY_KEY)])

    async def _cmms(self, cmms: Cmms, entity: EntityMapping) -> AsyncIterator[Finding]:
        unknown: set[str] = set()

        async def read() -> None:
            await cmms.by_key(entity, [_UNLIKELY_KEY])
            async for page in cmms.pages(entity):
                # A record names every field that the CMMS knows, also those without a value.
                known = {name for one in page for name in (*one.values, *one.errors)}
                unknown.update(entity.fields.keys() - known if page else ())
                break

        yield await self._timed("cmms", entity.cmms, self._world.expected.cmms_url, read)
        if unknown:
            named = ", ".join(sorted(unknown))
            fields = word_for(len(unknown), "field")
            message = f"does not show the mapped {fields} {named}: nothing of it is ever synchronized"
            action = "add it to FIELDS of the CMMS's settings, or correct its name in the mapping"
            yield error("cmms", entity.cmms, message, action)

    async def _timed(self, area: str, subject: str, what: str, read: Callable[[], Awaitable[None]]) -> Finding:
        started = time.monotonic()
        try:
            await read()
        except SyncError as problem:
            return self._failed(area, subject, problem)
        return self._latency(area, subject, time.monotonic() - started, what)

    def _failed(self, area: str, subject: str, problem: SyncError) -> Finding:
        self.unreachable |= isinstance(problem, (Throttled, Unavailable))
        if isinstance(problem, Throttled):
            wait = problem.retry_after
            after = f"in {wait.total_seconds():.0f} s" if wait is not None else "later"
            return error(area, subject, problem.message, f"nothing needs correcting: check again {after}")
        if isinstance(problem, Unavailable) and problem.status is not None and problem.status >= _OWN_FAULT:
            action = "it answers, but with a failure of its own: check again later, or look at its own status page"
            return error(area, subject, problem.message, action)
        where = self._where.get(area, "")
        return error(area, subject, problem.message, f"{where}correct it, then check again")

    def _latency(self, area: str, subject: str, seconds: float, message: str) -> Finding:
        text = f"{message}, in {seconds * 1000:.0f} ms"
        if seconds > self._slow:
            return warning(area, subject, text, "look at the network between here and there")
        return ok(area, subject, text)


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
