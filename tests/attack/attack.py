"""A running stack under load: what an operator does there, how long to wait, and the judgement."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

from local.playing import Player
from local.ports import Ports
from local.stack import Stack
from shared.settings import DOCUMENT_MAPPING
from tests.attack.audit import Audit
from tests.attack.backups import Backups
from tests.attack.journal import Journal, Side
from tests.attack.mapping_edits import Rules
from tests.attack.people import People
from tests.attack.places import ENTITIES
from tests.attack.systems import Systems
from tests.attack.verdict import CHECKS, MET_AGAIN, Scene

_PATIENCE: Final = 600
_LONGEST_LOOK: Final = 240
"""Seconds: longer than a record that a restore took back is looked at before it is parked."""
_QUIET: Final = 3
_GRACE: Final = 60
"""Seconds. What a worker that was killed held comes back after five minutes, which is the simulation's to play."""


@dataclass
class Findings:
    """What one attack found wrong, and its figures."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class Attack:
    """A running stack under load, with the account of what people said."""

    def __init__(self, say: Callable[[str], None], *, seed: int, records: int, rate: float) -> None:
        self.say = say
        self._seed, self._records, self._rate = seed, records, rate
        self._exits = ExitStack()
        self.findings = Findings()
        self.journal = Journal()
        self.rules = Rules()
        self._later = 0

    def __enter__(self) -> Self:
        mapping = Path(self._exits.enter_context(TemporaryDirectory(prefix="attack-"))) / "mapping.toml"
        mapping.write_text(DOCUMENT_MAPPING.read_text(encoding="utf-8"), encoding="utf-8")
        self._mapping = mapping
        settings = {"SYNC_MAPPING": str(mapping), "RECONCILE_FULL_EVERY": "0"}
        self.stack = self._exits.enter_context(
            Stack(Ports.free(), settle_seconds=0, say=self.say, settings=settings, grace_seconds=_GRACE)
        )
        self.systems = Systems(self.stack, self.journal)
        self.audit = Audit(self.systems)
        self.backups = Backups(self.systems, self.audit)
        self._exits.callback(self.systems.close)
        self.player = self._exits.enter_context(Player(self.stack))
        self.people = People(self.stack, self.journal, self._seed, rate=self._rate)
        self.audit.begin()
        for number in range(self._records):
            self.people.create_in_cmms(ENTITIES["order" if number % 3 == 0 else "asset"])
        self.rest("the first records are on both sides")
        self._exits.enter_context(self.people)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    # What an operator does

    def ops(self, *arguments: str) -> tuple[int, Any]:
        """Type a command."""
        return self.player.ops(*arguments, "--json")

    def settle(self, side: str, at: datetime) -> None:
        """Say what was restored: look first, then do it, until nothing is left to be settled."""
        instant = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        _, plan = self.ops("restored", "--side", side, "--at", instant, "--dry-run")
        planned = {one["entity"]: one["records"] + one["lost_in_the_cmms"] for one in plan["entities"]}
        self.say(f"  ops restored would settle {planned}")
        code, done = self.ops("restored", "--side", side, "--at", instant, "--yes")
        self.findings.figures |= {
            "settled": done["enqueued"],
            "for people": sum(len(one["for_people"]) for one in done["entities"]),
            "replayed": len(done["replayed"]),
        }
        self.say(f"  ops restored ended with {code}: {self.findings.figures}")

    # Waiting and judging

    def remap(self) -> None:
        """Write the mapping's file anew, as its rules say by now."""
        self._mapping.write_text(self.rules.text(), encoding="utf-8")

    def rest(self, what: str) -> None:
        """Wait until nothing moves but messages that wait for minutes: for what a restored CMMS will never show."""
        begun, quiet = time.monotonic(), 0
        while quiet < _QUIET:
            waiting = self.systems.waiting()
            took = time.monotonic() - begun
            later = waiting.pop("scheduled")
            quiet = quiet + 1 if not any(waiting.values()) and (later <= self._later or took > _LONGEST_LOOK) else 0
            if took > _PATIENCE:
                self.findings.faults.append(f"not at rest after {_PATIENCE:.0f} s, {what}: {waiting}, {later} later")
                return
            time.sleep(0.4)
        self._later = later
        left = f", {later} messages wait for longer" if later else ""
        self.say(f"  at rest after {time.monotonic() - begun:.0f} s: {what}{left}")

    def reconcile(self) -> None:
        """Run the timer, let go what the brake holds, and run the timer again."""
        for _ in range(2):
            self.systems.reconcile()
            self.rest("what the reconciliation sent")
            _, released = self.ops("drift", "--release-brake", "attack")
            if released["released"] is None:
                return
            self.say(f"  the brake held {released['released']}")

    @contextmanager
    def held(self, *sides: Side) -> Iterator[None]:
        """Let people of these sides wait."""
        with ExitStack() as gates:
            for side in sides:
                gates.enter_context(self.people.gates[side])
            yield

    def judge(self, when: str, *checks: str) -> None:
        """Compare everything, field by field; people must be held."""
        self.audit.read()
        ledger = self.systems.ledger()
        scene = Scene(
            journal=self.journal,
            columns=self.rules.columns,
            cmms=self.systems.cmms(),
            dynamics=self.systems.dynamics(),
            ledger=ledger,
            parked=self.systems.parked(),
            reported=self.systems.reported(),
            recorded=self.systems.recorded,
        )
        for check in checks:
            found = list(CHECKS[check](scene))
            self.say(f"  {when}: {check}: {len(found)}")
            self.findings.faults += [f"{when}: {check}: {one}" for one in found]
        records = sum(len(scene.records(entity)) for entity in scene.columns)
        self.findings.figures |= {
            "records": records,
            "edits": dict(self.people.edits),
            "conflicts": sum(len(one.lost) for some in ledger.values() for one in some.values()),
            "parked": self.systems.reasons(),
        }

    def final(self, side: str = "", at: datetime | None = None) -> None:
        """Let people go home, let everything come to rest, and judge; what was restored must have been settled."""
        with self.held("cmms", "dynamics"):
            self.rest("the last edits")
            self.reconcile()
            self.judge("at the end", *(CHECKS if side in self.people.gates else MET_AGAIN))
            if at is not None:
                self._nothing_left(side, at)

    def _nothing_left(self, side: str, at: datetime) -> None:
        _, plan = self.ops("restored", "--side", side, "--at", f"{at:%Y-%m-%dT%H:%M:%SZ}", "--dry-run")
        left = sum(one["records"] + one["lost_in_the_cmms"] for one in plan["entities"])
        rows = {record for some in self.systems.dynamics().values() for record in some}
        # A row that a person has deleted since counts as one that the backup lacks.
        if left > len(self.journal.rows_deleted.keys() - rows):
            effects = [one for each in plan["entities"] for one in each["effects"]]
            self.findings.faults.append(f"ops restored still finds {left} to settle: {effects}")
