"""Rows without any trouble: creates, updates of two fields, no-ops, and a few bad rows among good ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks.clients.job import Kind
from benchmarks.conditions import USUAL
from benchmarks.contestants import LABELS, PRODUCT, contestants, write
from benchmarks.load import assets, parked
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import Bench

_PHASES: Final = (("create", Kind.CREATE, 0), ("update", Kind.UPSERT, 1), ("noop", Kind.UPSERT, 1))
_OF_THE_PHASES: Final = (
    Column("create_seconds", "creates", Unit.SECONDS),
    Column("create_requests", "requests"),
    Column("update_seconds", "updates", Unit.SECONDS),
    Column("update_requests", "requests"),
    Column("noop_seconds", "no-ops", Unit.SECONDS),
    Column("noop_written", "rows written by no-ops"),
)
_TENTH: Final = 10


def _bulk(_size: Size) -> Sequence[str]:
    return contestants("sdk", "webapi")


def _document(_size: Size) -> Sequence[str]:
    return contestants("document")[::-1]


def measure_document(size: Size, name: str) -> Figures:
    """Create and update a tenth of the records: the document's client takes minutes for them."""
    return measure_clean(replace(size, records=max(1, size.records // _TENTH)), name)


def measure_clean(size: Size, name: str) -> Figures:
    """Create, update and say again the same assets, one after the other on one Dataverse."""
    figures: dict[str, float] = {"records": size.records}
    with Bench(USUAL) as bench:
        for phase, kind, generation in _PHASES:
            done = write(bench, name, list(assets(size.records, generation=generation)), kind)
            figures |= {f"{phase}_{figure}": value for figure, value in done.items()}
    return figures


def measure_dirty(size: Size, name: str) -> Figures:
    """Create assets of which some have a book value that Dynamics refuses."""
    every = min(1_000, size.records)
    bad = frozenset(range(every // 2, size.records, every))
    with Bench(USUAL) as bench:
        done = write(bench, name, list(assets(size.records, generation=0, bad=bad)), Kind.CREATE)
        good = [one for number, one in enumerate(assets(size.records, generation=0)) if number not in bad]
        named = sum("field" in one for one in parked(bench.servicebus_connection)) if name == PRODUCT else 0
    return {**done, "bad": len(bad), "good": len(good), "named": named}


CLEAN: Final = Scenario(
    "clean",
    "Clean rows: creates, updates of two fields, no-ops",
    "The same assets are created, then two of their five fields change, then the last messages come again. A peer is"
    " told which two columns changed; the product finds out. Everybody's time begins with the first request to"
    " Dataverse, start-up and token for nothing; the product's ends when its queue is empty, a peer's with its last"
    " answer. *Cold start* below says how long a host takes for its first message.",
    _bulk,
    measure_clean,
    (
        *_OF_THE_PHASES,
        Column("create_cpu", "CPU, creates", Unit.SECONDS),
        Column("update_landed", "rows right in the end"),
    ),
    plots=(
        Plot("create_seconds", "Creates: seconds until the last row is there"),
        Plot("update_seconds", "Updates of two fields: seconds until the last row is right"),
        Plot("noop_written", "Rows written although nothing had changed", "rows; shorter is better"),
    ),
    labels=LABELS,
)

DOCUMENT: Final = Scenario(
    "document",
    "The customer document's own client",
    "The same with a tenth of the records: the document's client makes two requests for each, and asks for a token each"
    " time.",
    _document,
    measure_document,
    (
        Column("records", "records"),
        *_OF_THE_PHASES,
        Column("update_landed", "rows right in the end"),
    ),
    plots=(Plot("create_requests", "Requests to Dataverse for the same creates", "HTTP requests; shorter is better"),),
    labels=LABELS,
)

DIRTY: Final = Scenario(
    "dirty",
    "One bad row in a thousand",
    "Creates, of which one in 1,000 has a book value that the column refuses. CreateMultiple is one transaction, so"
    " that one bad row undoes its chunk; a batch keeps the good rows and tells the bad ones apart. The product writes"
    " even the bad row, without the refused field, and parks a message that names the field.",
    _bulk,
    measure_dirty,
    (
        Column("good", "good rows"),
        Column("landed", "of them right"),
        Column("bad", "bad rows"),
        Column("named", "bad fields named"),
        Column("seconds", "time", Unit.SECONDS),
        Column("requests", "requests"),
    ),
    plots=(Plot("landed", "Good rows that landed beside one bad row in a thousand", "rows; longer is better"),),
    labels=LABELS,
)
