"""An installation to check, whole or with one part of it changed, and what was found bad."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from copy import replace
from datetime import UTC, datetime
from typing import Any

from shared.adapters.ledger import SqliteLedger
from shared.errors import Unavailable
from shared.flows.operate.check import Checker, Finding, Level
from shared.flows.operate.check.live import Expected, Identity, World
from shared.flows.operate.parked import Probe, Survey, Taken, Waiting
from tests.fakes import document_mapping
from tests.ops.conftest import APPLICATION, HEADER, ORGANIZATION, SECRET, URL, Organization

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class QuietQueues:
    """Queues that work; those in `absent` do not exist, `oldest` waits on parked."""

    def __init__(
        self, absent: str | None = None, oldest: datetime | None = None, surveys: dict[str, Survey] | None = None
    ) -> None:
        self._absent = absent
        self._oldest = oldest
        self._surveys = surveys or {}

    async def probe(self, queue: str) -> Probe:
        if queue == self._absent:
            raise Unavailable(f"There is no queue {queue}: create it in the namespace.")
        if queue in self._surveys:
            return Probe(self._surveys[queue].oldest, 0.01)
        return Probe(self._oldest if queue == "parked" else None, 0.01)

    async def survey(self, queue: str, at_most: int = 5000) -> Survey:
        if queue in self._surveys:
            return self._surveys[queue]
        return Survey(1, oldest=self._oldest) if queue == "parked" and self._oldest else Survey()

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        pages: list[list[Waiting]] = []
        for page in pages:
            yield page

    async def take(self, queue: str, wanted: Collection[int]) -> Any:
        nothing: list[Taken] = []
        for one in nothing:
            yield one


OPENED: list[SqliteLedger] = []
"""The ledgers of a test's worlds, closed at its end."""


async def signed_in() -> Identity:
    return Identity("admin@contoso.com", "tenant-1", ORGANIZATION)


def world(organization: Organization, **changes: Any) -> World:
    expected = Expected(
        resource_url=ORGANIZATION,
        organization=None,
        application=APPLICATION,
        header=HEADER,
        secrets=(SECRET,),
        url=URL,
        mapping_file="document.toml",
        cmms_url="",
    )
    own = {name: value for name, value in changes.items() if name in vars(expected)}
    if "organization_id" in changes:
        own["organization"] = changes.pop("organization_id")
    ledger = SqliteLedger(":memory:")
    OPENED.append(ledger)
    parts: dict[str, Any] = {
        "expected": replace(expected, **own),
        "mapping": document_mapping(),
        "platform": organization.platform,
        "queues": QuietQueues(),
        "ledger": ledger,
        "state": ledger,
        "cmms": None,
        "sign_in": signed_in,
        "now": lambda: NOW,
    }
    return World(**(parts | {name: value for name, value in changes.items() if name not in own}))


async def findings(world: World) -> list[Finding]:
    return [finding async for finding in Checker(world).run()]


def bad(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.level is not Level.OK]


def asset(organization: Organization) -> Any:
    return organization.dataverse.tables["msdyn_customerasset"].table


def order(organization: Organization) -> Any:
    return organization.dataverse.tables["salesorder"].table


type Break = Callable[[Organization], Awaitable[None] | None]
"""Breaks one thing of a provisioned organization."""


async def broken(organization: Organization, break_it: Break) -> list[Finding]:
    """What is found bad of a provisioned organization of which one thing was broken."""
    await organization.provision()
    done = break_it(organization)
    if done is not None:
        await done
    return bad(await findings(world(organization)))
