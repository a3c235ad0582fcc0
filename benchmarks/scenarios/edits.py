"""Edits that users make between a client's read and its write: does anybody ever see them again?"""

import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.clients.job import Kind
from benchmarks.conditions import FREE
from benchmarks.contestants import LABELS, PRODUCT, contestants, write
from benchmarks.load import TABLE, assets
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size
from benchmarks.stack import Bench

_COLUMN: Final = "msdyn_name"
_PATIENCE: Final = 60.0
_MARGIN: Final = 3.0
_SLOWEST_EDIT: Final = 0.2
# Where the time between read and write is made long: before the write is carried out, or, for the document's client,
# which writes as users do, after its read.
_BULK_WRITE: Final[Mapping[str, Any]] = {"path": r"^\$batch|UpsertMultiple", "before": True}
_SEARCH: Final[Mapping[str, Any]] = {"method": "GET", "kind": "list", "before": False}


def _variants(_size: Size) -> Sequence[str]:
    return contestants()


def measure(size: Size, name: str) -> Figures:
    """Create assets, then update two fields of each; meanwhile users edit one of the two in some rows."""
    first = list(assets(size.edits, generation=0))
    second = list(assets(size.edits, generation=1))
    with Bench(FREE) as bench:
        write(bench, name, first, Kind.CREATE)
        rows = {row["msdyn_assetnumber"]: row["msdyn_customerassetid"] for row in bench.rows(TABLE)}
        edits = {rows[one["key"]]: f"Edited by a person {number}" for number, one in enumerate(first)}
        seconds = _MARGIN + _SLOWEST_EDIT * len(edits)
        rule = _SEARCH if name == "document" else _BULK_WRITE
        bench.fault({"effect": "slow", "seconds": seconds, "times": None, **rule})
        person = threading.Thread(target=_edit, args=(bench, edits))
        person.start()
        # All in one request, or all at a time where each record has its own: the edits fall between read and write.
        write(bench, name, second, Kind.UPSERT, tasks=len(edits) if name == "document" else 1)
        person.join()
        bench.clear_faults()
        held = [str(row[_COLUMN]) for row in bench.rows(TABLE)]
        remembered = _memory(bench.folder / "ledger.sqlite3") if name == PRODUCT else ""
    return {
        "edits": len(edits),
        "kept": sum(edit in held for edit in edits.values()),
        "recorded": sum(f'"{edit}"' in remembered for edit in edits.values()),
        "safe": sum(edit in held or f'"{edit}"' in remembered for edit in edits.values()),
    }


def _edit(bench: Bench, edits: Mapping[str, str]) -> None:
    """Edit the rows, once a request that the delay holds back has arrived."""
    until = time.monotonic() + _PATIENCE
    while not bench.struck() and time.monotonic() < until:
        time.sleep(0.02)
    headers = {"Authorization": f"Bearer {bench.token(person=True)}", "If-Match": "*"}
    with httpx.Client(headers=headers, trust_env=False, timeout=30) as http:
        for row_id, name in edits.items():
            url = f"{bench.organization_url}/api/data/v9.2/msdyn_customerassets({row_id})"
            http.patch(url, json={_COLUMN: name}).raise_for_status()


def _memory(ledger: Path) -> str:
    """What the ledger's links hold, as one text."""
    db = sqlite3.connect(ledger)
    try:
        return "\n".join(str(body) for (body,) in db.execute("SELECT body FROM link"))
    finally:
        db.close()


EDITS: Final = Scenario(
    "edits",
    "Edits by users between read and write",
    "Two fields of each asset are updated; while each write is held back, a user edits one of the two in the row. A"
    " client without conditions overwrites the edit, and nobody learns of it. The product writes under the row's etag,"
    " meets the edit, and puts it on record before the CMMS's value replaces it (in one-way mode the CMMS's value"
    " wins). Measured without latency, all rows in one request, or for the document's"
    " client all at a time.",
    _variants,
    measure,
    (
        Column("edits", "edits by users"),
        Column("kept", "still in the row"),
        Column("recorded", "on record"),
        Column("safe", "kept or on record"),
    ),
    plots=(Plot("safe", "Users' edits between read and write that are kept or on record", "edits; longer is better"),),
    slow=True,
    labels={name: label.split(",")[0] for name, label in LABELS.items()},
)
