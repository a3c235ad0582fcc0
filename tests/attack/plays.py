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

_BEFORE_THE_WORD: Final = 60
"""Seconds for which people go on in what was restored. What is seen to lag is held only after some three minutes."""


def dynamics_restored(attack: Attack) -> None:
    """Dynamics goes back; people of both sides go on before the operator says so."""
    _restored(attack, "dynamics", ())


def cmms_restored(attack: Attack) -> None:
    """The CMMS goes back; people of both sides go on before the operator says so."""
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
        waiting, back = _stopped(attack, *parts, side=side, since=since, other=other, backup=backup)
    restored = now()
    attack.say(f"  {side} restored, with {waiting} under way")
    attack.people.play(_BEFORE_THE_WORD)
    with attack.held("cmms", "dynamics"):
        edited = attack.journal.edited(side, restored)
        attack.findings.figures |= {"edited since": len(edited & back), "and untouched ones": len(edited - back)}
        attack.rest("after the restore, and edits of what was restored")
        attack.judge("before ops restored", "erased", "filled again")
    attack.people.play(10)
    attack.settle(side, at)
    attack.people.play(15)
    attack.final(side, at)


def _stopped(
    attack: Attack, *parts: str, side: Side, since: float, other: Side, backup: Path | None
) -> tuple[dict[str, int], set[str]]:
    """Stop what a person stops, put the backup back, and start; the other side's people go on, but for a moment.

    Returns:
        How many messages were under way, by state, and the records that were taken back.
    """
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
        back = {key for name in after for key, some in after[name].items() if before[name].get(key) != some}
        lost = {key for name in before for key in before[name] if key not in after[name]}
        if side == "dynamics":
            attack.journal.live_again({key for some in after.values() for key in some})
        attack.people.look_again(after)
    attack.findings.figures |= {"taken back": len(back | lost), "gone with the restore": gone}
    attack.people.play(5)
    attack.stack.resume(*reversed(down))
    return waiting, back


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
