"""The attacks: a backup put back in the middle of a load, and a mapping edited while messages wait."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.attack.attack import Attack, Findings
from tests.attack.journal import Side
from tests.attack.mapping_edits import EDITS
from tests.attack.systems import now, values_of


def dynamics_restored(attack: Attack) -> None:
    """Dynamics goes back; people of the CMMS go on all the time."""
    _restored(attack, "dynamics", ())


def cmms_restored(attack: Attack) -> None:
    """The CMMS goes back; people of Dynamics go on all the time."""
    _restored(attack, "cmms", ("relay", "cmms"))


def _restored(attack: Attack, side: Side, parts: tuple[str, ...]) -> None:
    other: Side = "cmms" if side == "dynamics" else "dynamics"
    attack.people.play(30)
    with attack.held("cmms", "dynamics"):
        at, since = datetime.now(UTC), now()
        backup = attack.backups.of_cmms() if side == "cmms" else None
        if backup is None:
            attack.backups.of_dynamics()
    attack.people.play(45)
    with attack.held(side):
        waiting = _stopped(attack, *parts, side=side, since=since, other=other, backup=backup)
        attack.say(f"  {side} restored, with {waiting} under way")
        attack.people.play(20)
        with attack.held(other):
            attack.rest("after the restore")
            attack.judge("before ops restored", "erased")
        attack.people.play(10)
        attack.settle(side, at)
    attack.people.play(15)
    attack.final(side, at)


def _stopped(attack: Attack, *parts: str, side: Side, since: float, other: Side, backup: Path | None) -> dict[str, int]:
    """Stop what a person stops, put the backup back, and start; the other side's people go on, but for a moment."""
    down = ("functions", *parts)
    waiting = attack.systems.waiting()
    attack.stack.halt(*down)
    with attack.held(other):
        attack.audit.read()
        shown = attack.systems.cmms() if side == "dynamics" else attack.systems.dynamics()
        attack.systems.ledger()
        before = attack.systems.dynamics() if side == "dynamics" else attack.systems.cmms()
        if backup is None:
            attack.backups.restore_dynamics()
        else:
            attack.backups.restore_cmms(backup)
        gone = attack.journal.forget(side, since, values_of(shown))
        after = attack.systems.dynamics() if side == "dynamics" else attack.systems.cmms()
        back = sum(before[name].get(key) != some for name in after for key, some in after[name].items())
        back += sum(key not in after[name] for name in before for key in before[name])
        if side == "dynamics":
            attack.journal.rows_deleted -= {key for some in after.values() for key in some}
    attack.findings.figures |= {"taken back": back, "gone with the restore": gone}
    attack.people.play(5)
    attack.stack.resume(*reversed(down))
    return waiting


def ledger_restored(attack: Attack) -> None:
    """The ledger goes back; people of both sides go on all the time."""
    attack.people.play(30)
    at = datetime.now(UTC)
    backup = attack.backups.of_ledger()
    attack.people.play(45)
    waiting = attack.systems.waiting()
    attack.stack.halt("functions")
    attack.backups.restore_ledger(backup)
    attack.people.play(5)
    attack.stack.resume("functions")
    attack.say(f"  ledger restored, with {waiting} under way")
    attack.people.play(20)
    with attack.held("cmms", "dynamics"):
        attack.rest("after the restore")
        attack.judge("before ops restored", "erased")
    attack.people.play(5)
    attack.settle("ledger", at)
    attack.people.play(15)
    attack.final("ledger", at)


def mapping_edited(attack: Attack) -> None:
    """The mapping is edited ten ways, and the functions are started anew each time, while messages wait."""
    attack.people.play(15)
    for name, edit in EDITS.items():
        with attack.held("dynamics"):
            # What Dynamics tells while the functions are down is lost: the timer finds it at the end.
            attack.stack.halt("functions")
        attack.people.play(3)
        edit(attack.rules)
        attack.remap()
        waiting = attack.systems.waiting()
        attack.stack.resume("functions")
        attack.say(f"  {name}, with {waiting} under way")
        attack.people.play(10)
    with attack.held("cmms", "dynamics"):
        attack.rest("after the last mapping")
        attack.judge("before the timer", "erased")
    attack.final()


PLAYS: Final[dict[str, Callable[[Attack], None]]] = {
    "dynamics": dynamics_restored,
    "cmms": cmms_restored,
    "ledger": ledger_restored,
    "mapping": mapping_edited,
}


def run(name: str, say: Callable[[str], None], *, seed: int, records: int, rate: float) -> Findings:
    """Play one attack on a stack of its own."""
    begun = time.monotonic()
    with Attack(say, seed=seed, records=records, rate=rate) as attack:
        PLAYS[name](attack)
        found = attack.findings
        found.faults += attack.stack.restarts
    found.figures["seconds"] = round(time.monotonic() - begun)
    return found
