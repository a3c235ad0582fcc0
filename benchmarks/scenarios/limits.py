"""Quotas that bind: what lands, how often Dataverse has to refuse, and how long it takes."""

from collections.abc import Sequence
from typing import Final

from benchmarks.clients.job import TASKS, Kind
from benchmarks.conditions import permitted_seconds, scaled, tight
from benchmarks.contestants import LABELS, contestants, write
from benchmarks.load import assets
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import Bench

_FOUR: Final = "-4"
_TENTH: Final = 10
_COLUMNS: Final = (
    Column("landed", "rows landed"),
    Column("throttled", "refused with 429"),
    Column("requests", "requests"),
    Column("seconds", "time", Unit.SECONDS),
)


def _bulk(_size: Size) -> Sequence[str]:
    product, *peers = contestants("sdk", "webapi")
    return [product, *peers, *(f"{peer}{_FOUR}" for peer in peers)]


def _document(_size: Size) -> Sequence[str]:
    return contestants("document")[::-1]


def measure_tight(size: Size, variant: str) -> Figures:
    """Create assets under a quota that lets 40% of them through in each window."""
    name, four = variant.removesuffix(_FOUR), variant.endswith(_FOUR)
    conditions = tight(size.records, size.window_seconds)
    with Bench(conditions) as bench:
        some = list(assets(size.records, generation=0))
        largest = max(1, size.records // _TENTH)
        done = write(bench, name, some, Kind.CREATE, tasks=4 if four else TASKS, largest=largest)
    return {**done, "permitted": permitted_seconds(conditions, size.records, largest)}


def measure_document(size: Size, variant: str) -> Figures:
    """Create a tenth of the assets under Microsoft's quota for them."""
    records = max(1, size.records // _TENTH)
    with Bench(scaled(records, size.window_seconds)) as bench:
        some = list(assets(records, generation=0))
        done = write(bench, variant, some, Kind.CREATE, retry_seconds=size.retry_seconds)
    return {**done, "records": records}


TIGHT_LIMITS: Final = Scenario(
    "tight-limits",
    "A quota that other programs have nearly used up",
    "Creates under the tight model, whose windows let 40% of the rows through each. The peers wait as long as"
    " `Retry-After` says, five times at most, with 8 tasks and with the 4 that the quota admits at a time. A request"
    " of theirs has at most a tenth of the rows, as it has at 10,000. The product reads what is left of the quota from"
    " Dataverse's answers, and counts what is under way as used. The last column is what the quota makes of requests of"
    " a tenth in rounds of four, each begun when all before it have ended. Dataverse counts a request only once it has"
    " ended: whoever begins another as soon as one ends gets more through, and is refused for it sooner or later.",
    _bulk,
    measure_tight,
    (*_COLUMNS, Column("permitted", "the quota's own time, in rounds", Unit.SECONDS)),
    plots=(
        Plot(
            "throttled",
            "Requests that Dataverse had to refuse (429) under a tight quota",
            "answers with status 429; shorter is better",
        ),
    ),
    slow=True,
    labels={
        **LABELS,
        "sdk-4": "Microsoft's SDK for Python, 4 tasks",
        "webapi-4": "dynamics-web-api, 4 tasks",
    },
)

DOCUMENT_LIMITS: Final = Scenario(
    "document-limits",
    "The document's client under Microsoft's number of requests",
    "Creates of a tenth of the records under Microsoft's 6,000 requests for 10,000 records, in proportion. Two requests"
    " for each record are more than that; a task that fails is tried again after 60 s, three times.",
    _document,
    measure_document,
    (Column("records", "records"), *_COLUMNS),
    slow=True,
    labels=LABELS,
)
