"""What the console's pages can ask for and do: the use cases of `flows/operate`, on the operator's session."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from ops.activity import KEPT, Processed
from ops.commands.parked import document, messages_of
from ops.output import stamp
from ops.session import Session
from shared.errors import InvalidMessage, Unavailable
from shared.flows.operate.first_sync.memory import StoredPlan, plan_of
from shared.flows.operate.overview import Overview
from shared.flows.operate.parked import Settled, Waiting
from shared.flows.operate.show import Story, tell
from shared.flows.reconcile.checkpoint import BrakeState, release_brake

KEPT_FILE: Final = Path("discarded.jsonl")
_REPORTS: Final = 100


@dataclass(frozen=True)
class Fault:
    """A fault that the local Dataverse injects: what strikes, how often it may and did."""

    effect: str
    detail: str
    times: int | None
    struck: int


class Desk:
    """One installation, as one operator works on it."""

    def __init__(self, session: Session, title: str) -> None:
        """`title` names the installation for people."""
        self._session = session
        self.title = title

    @property
    def entities(self) -> Sequence[str]:
        """The entities of the mapping."""
        return list(self._session.wiring.mapping.entities)

    @property
    def is_local(self) -> bool:
        """Whether this is the stack of `make up`, whose Dynamics can be made to fail; all others have TLS."""
        return self._session.wiring.settings.dynamics_365_resource_url.startswith("http://")

    def row_address(self, entity: str, row_id: str) -> str:
        """Where a person looks at a row: its form in Dynamics, or what the local Dynamics holds of its table.

        https://learn.microsoft.com/power-apps/developer/model-driven-apps/open-forms-views-dialogs-reports-url
        """
        root = self._session.wiring.settings.dynamics_365_resource_url.rstrip("/")
        table = self._session.entity(entity).table
        if self.is_local:
            return f"{root}/_emulator/tables/{table}"
        return f"{root}/main.aspx?{urlencode({'etn': table, 'pagetype': 'entityrecord', 'id': row_id})}"

    async def overview(self) -> Overview:
        """Everything at a glance."""
        return await self._session.overseer.look()

    async def activity(self) -> list[Processed] | None:
        """The last hour's messages, or None where nothing says where the functions log to.

        Raises:
            SyncError: The log cannot be read.
        """
        source = self._session.activity
        return None if source is None else await source.since(datetime.now(UTC) - KEPT)

    async def story(self, entity: str, key: str) -> Story:
        """One record on both sides, and what lies between.

        Raises:
            SyncError: A side could not be read, or the key cannot be one.
        """
        mapped = self._session.entity(entity)
        mapped.usable_key(key)
        wiring = self._session.wiring
        return await tell(
            mapped,
            key,
            ledger=wiring.ledger,
            dynamics=wiring.dynamics,
            cmms=wiring.cmms,
            queues=self._session.queues,
            clock=wiring.clock,
        )

    def rehearse(self, chosen: Collection[Waiting]) -> Settled:
        """What a replay would do."""
        return messages_of(self._session).rehearse(chosen)

    async def replay(self, chosen: Collection[Waiting]) -> Settled:
        """Send messages again to where they came from.

        Raises:
            SyncError: A queue failed; what was not yet replayed is still parked.
        """
        return await messages_of(self._session).replay(chosen, lambda _message, _problem: None)

    async def discard(self, chosen: Collection[Waiting], because: str) -> Settled:
        """Take messages off for good; each is written down first.

        Raises:
            SyncError: The queue failed, or the file cannot be written; what was not yet discarded is still parked.
        """

        def write_down(message: Waiting) -> None:
            record = document(message) | {"discarded_at": stamp(datetime.now(UTC)), "because": because}
            with KEPT_FILE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

        try:
            KEPT_FILE.touch(mode=0o600)  # it holds records
            return await messages_of(self._session).discard(
                chosen, because, write_down, lambda _message, _problem: None
            )
        except OSError as error:
            where = KEPT_FILE.resolve()
            raise InvalidMessage(
                f"{where} cannot be written ({error.strerror}): start the console in a folder of your own."
            ) from error

    async def resync(self, entity: str, key: str, *, recreate: bool) -> None:
        """Have the engine look at a record again.

        Raises:
            SyncError: The key cannot be one, nothing is known of it, or the queue failed.
        """
        mapped, flow = self._session.entity(entity), self._session.resync
        records = await flow.named(mapped, [mapped.usable_key(key)])
        if any(identity.kind == "key" for identity in records):
            raise InvalidMessage(f"Nothing is known of {entity} {key}. Is the key spelt right?")
        await flow.enqueue(mapped, records, rate=100, recreate=recreate, progress=lambda _count: None)

    async def release_brake(self, who: str) -> BrakeState | None:
        """Let the repairs go that the brake holds."""
        return await release_brake(self._session.wiring.state, who)

    async def reports(self) -> list[str] | None:
        """The names of the stored reports, the newest first; None where no setting says where they lie.

        Raises:
            SyncError: They cannot be listed.
        """
        reports = self._session.wiring.reports
        if reports is None:
            return None
        names = [name for name in await reports.names() if name.endswith(".html") and name != "latest.html"]
        return sorted(names, reverse=True)[:_REPORTS]

    async def report(self, name: str) -> bytes | None:
        """A stored report's page, or None where there is none.

        Raises:
            SyncError: It cannot be read.
        """
        reports = self._session.wiring.reports
        if reports is None or name not in await reports.names():
            return None
        return await reports.load(name)

    async def first_sync_plan(self) -> StoredPlan | None:
        """The last plan of a first sync; None where there is none.

        Raises:
            SyncError: The ledger does not answer.
        """
        return await plan_of(self._session.wiring.state)

    async def faults(self) -> list[Fault]:
        """The faults that the local Dataverse injects now.

        Raises:
            Unavailable: It does not answer.
        """
        found = await self._emulator("GET")
        return [
            Fault(
                effect=str(one.get("effect")),
                detail=", ".join(f"{name} {one[name]}" for name in ("status", "kind", "seconds") if one.get(name)),
                times=one.get("times"),
                struck=int(one.get("struck", 0)),
            )
            for one in found
        ]

    async def add_fault(self, fault: dict[str, object]) -> None:
        """Have the local Dataverse fail."""
        await self._emulator("POST", fault)

    async def lift_faults(self) -> None:
        """Have the local Dataverse work again."""
        await self._emulator("DELETE")

    async def _emulator(self, method: str, body: object = None) -> list[dict[str, Any]]:
        url = f"{self._session.wiring.settings.dynamics_365_resource_url}/_emulator/faults"
        try:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                response = await client.request(method, url, json=body)
                found = response.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"The local Dataverse does not take faults: {type(error).__name__}.") from error
        rules = found.get("faults") if isinstance(found, dict) else None
        return [one for one in rules if isinstance(one, dict)] if isinstance(rules, list) else []
