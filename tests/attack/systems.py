"""Both systems and the ledger of a running stack: read past the product."""

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
from azure.servicebus import ServiceBusClient

from local.stack import Stack
from tests.attack.journal import Held, Journal
from tests.attack.places import EDITED, ENTITIES, MODEL_COLUMNS, MODELS
from tests.attack.verdict import EVERYTHING, Remembered, Shown, closed
from tests.simulation.observe import normal
from tests.simulation.tables import COLUMNS, SPARE

_PAGE: Final = 200


class Systems:
    """What there is on both sides and in between."""

    def __init__(self, stack: Stack, journal: Journal) -> None:
        self.stack = stack
        self.journal = journal
        self.recorded: dict[str, frozenset[Held]] = {}
        self._http = httpx.Client(timeout=60, trust_env=False)
        self._person = {"Authorization": f"Bearer {stack.person_token()}"}

    # What both sides hold

    def cmms(self) -> dict[str, dict[str, list[Shown]]]:
        """The CMMS's records, straight from its database."""
        found: dict[str, dict[str, list[Shown]]] = {}
        with closing(self.database()) as database:
            for name, entity in ENTITIES.items():
                found[name] = defaultdict(list)
                for row in database.execute(f"SELECT * FROM {MODELS[name]}"):  # noqa: S608 - our own names
                    values = {one: normal(one, row[MODEL_COLUMNS.get(one, one)]) for one in EDITED[name]}
                    found[name][self.journal.name(row[entity.key])].append(Shown(values, str(row["id"])))
        return found

    def dynamics(self) -> dict[str, dict[str, list[Shown]]]:
        """Dynamics' rows, as the emulator itself holds them."""
        found: dict[str, dict[str, list[Shown]]] = {}
        for name, entity in ENTITIES.items():
            found[name] = defaultdict(list)
            columns = [*(COLUMNS[one] for one in EDITED[name]), *([SPARE] if name == "asset" else [])]
            for row in self.ask("GET", f"{self.stack.dataverse_url}/_emulator/tables/{entity.set}")["rows"]:
                values = {column: normal(_field(column), row[column]) for column in columns}
                key = self.journal.name(row[entity.key_column])
                found[name][key].append(Shown(values, row[entity.id], closed(name, row["statecode"])))
        return found

    def ledger(self) -> dict[str, dict[str, Remembered]]:
        """What the ledger remembers, from its file."""
        found: dict[str, dict[str, Remembered]] = {name: {} for name in ENTITIES}
        with closing(sqlite3.connect(self.stack.ledger_path, timeout=30)) as database:
            for entity, key, body in database.execute("SELECT entity, key, body FROM link"):
                record, link = self.journal.name(key), json.loads(body)
                lost = frozenset(normal(one["field"], one["lost"]) for one in link.get("conflicts", ()))
                self.recorded[record] = self.recorded.get(record, frozenset()) | lost
                before = found[entity].get(record)
                if before is not None and (link.get("deleted_at") or not link.get("row_id")):
                    continue  # the record's link of before
                found[entity][record] = Remembered(
                    bases={
                        name: (normal(name, base["cmms"]), normal(name, base["dynamics"]))
                        for name, base in link.get("bases", {}).items()
                    },
                    lost=lost,
                    kept=frozenset(
                        (one["field"], normal(one["field"], one["won"]))
                        for one in link.get("conflicts", ())
                        if one["lost"] is None
                    ),
                    parked={name: park["reason"] for name, park in link.get("parked", {}).items()},
                    under_way=bool(link.get("intents") or link.get("restored")),
                )
        return found

    def parked(self) -> dict[tuple[str, str], frozenset[str]]:
        """Which fields of which records wait for a person, by the messages in `parked`."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for properties in self._parked():
            queue, key = properties.get("source_queue", ""), properties.get("key", "")
            entity = {"assets": "asset", "orders": "order"}.get(queue, queue)
            found[entity, self.journal.name(key)].add(properties.get("field", "") or EVERYTHING)
        return {name: frozenset(fields) for name, fields in found.items()}

    def reasons(self) -> dict[str, int]:
        """How many messages are parked, by reason."""
        counted: dict[str, int] = defaultdict(int)
        for properties in self._parked():
            counted[properties.get("reason", "")] += 1
        return dict(sorted(counted.items()))

    def reported(self) -> frozenset[tuple[str, str]]:
        """The records of which the newest report of drift tells a person, as of those that no message looked at."""
        newest = max(self.stack.reports.glob("[0-9]*.json"), default=None)
        found = json.loads(newest.read_text(encoding="utf-8"))["findings"] if newest is not None else []
        told = (one for one in found if one["action"] == "reported")
        return frozenset((one["entity"], self.journal.name(one["key"])) for one in told)

    def _parked(self) -> Iterator[dict[str, str]]:
        with (
            ServiceBusClient.from_connection_string(self.stack.servicebus_connection) as bus,
            bus.get_queue_receiver("parked") as receiver,
        ):
            after = 0
            while page := receiver.peek_messages(max_message_count=_PAGE, sequence_number=after):
                after = max(message.sequence_number or 0 for message in page) + 1
                for message in page:
                    given = (message.application_properties or {}).items()
                    yield {_text(name): _text(value) for name, value in given}

    @property
    def cmms_path(self) -> Path:
        """The CMMS's database."""
        return self.stack.folder / "cmms.sqlite3"

    def database(self) -> sqlite3.Connection:
        """A connection to the CMMS's database."""
        database = sqlite3.connect(self.cmms_path, timeout=60)
        database.row_factory = sqlite3.Row
        return database

    # Messages under way

    def waiting(self) -> dict[str, int]:
        """How much is still to come: messages by state, webhooks, and what the outbox has not sent."""
        counts = self.ask("GET", f"http://127.0.0.1:{self.stack.ports.servicebus_admin}/counts")
        found = {
            state: sum(counts[queue][state] for queue in ("assets", "orders"))
            for state in ("active", "locked", "scheduled")
        }
        found["webhooks"] = self.ask("GET", f"{self.stack.dataverse_url}/_emulator/stats")["webhooks"]["pending"]
        with closing(self.database()) as database:
            query = "SELECT count(*) FROM integracion_dynamics_mensaje WHERE enviado_en IS NULL AND motivo_fallo = ''"
            found["outbox"] = database.execute(query).fetchone()[0]
        return found

    def reconcile(self) -> None:
        """Run the timer function once."""
        url = f"{self.stack.host_url}/admin/functions/reconcile"
        headers = {"x-functions-key": self.stack.keys.master}
        self._http.post(url, json={"input": ""}, headers=headers).raise_for_status()

    def ask(self, method: str, url: str) -> Any:
        """What a part of the stack answers."""
        answer = self._http.request(method, url, headers=self._person)
        answer.raise_for_status()
        return answer.json()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def values_of(shown: Mapping[str, Mapping[str, list[Shown]]]) -> dict[str, set[Held]]:
    """All values of one side, by record."""
    return {
        record: {value for one in some for value in one.values.values()}
        for records in shown.values()
        for record, some in records.items()
    }


def _field(column: str) -> str:
    return next((name for name, one in COLUMNS.items() if one == column), column)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def now() -> float:
    """The clock by which edits and backups are ordered."""
    return time.monotonic()
