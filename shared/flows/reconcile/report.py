"""What one run found and did, in a form that is stored, shown and measured."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from shared.domain.link import Identity
from shared.flows.reconcile.compare import Comparison
from shared.flows.reconcile.drift import Difference, DriftClass

MOST_FINDINGS: Final = 10_000
"""Findings that a report lists; its counts are always complete."""

MOST_NAMED: Final = 20
"""Unreadable rows of the ledger and records of the CMMS that an entity's notes name; they are always counted."""

type Kind = Literal["full", "incremental"]
type Action = Literal["repair enqueued", "pending", "reported", "held by the brake"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Brake(_Frozen):
    """The brake that a run met: how many repairs it held, of how many ledger rows."""

    held: int
    ledger_rows: int
    since: datetime


class PastRun(_Frozen):
    """A run in the chart: its totals by class."""

    run: str
    at: datetime
    kind: Kind
    drift: dict[DriftClass, int]


@dataclass(frozen=True)
class Finding:
    """One record that drifted, both sides' values, and what was done about it.

    `identity` is the CMMS's id, or the row's where the CMMS has no record; None for a key that several records have.
    """

    entity: str
    key: str
    kind: DriftClass
    differences: tuple[Difference, ...]
    action: Action
    identity: Identity | None = None


@dataclass(frozen=True)
class QueueState:
    """A queue at the end of the run: dead letters moved to `parked`, and the age of its oldest message in seconds."""

    name: str
    moved: int
    oldest_seconds: float | None


@dataclass
class EntityReport:
    """One entity's result, by drift class; `in_flight` records are looked at again by the next run."""

    entity: str
    kind: Kind = "full"
    compared: int = 0
    ledger_rows: int = 0
    pages: int = 0
    drift: Counter[DriftClass] = field(default_factory=Counter)
    in_flight: int = 0
    unremembered: int = 0
    unusable_keys: int = 0
    unreadable_rows: int = 0
    unreadable_records: int = 0
    notes: list[str] = field(default_factory=list)
    failed: str | None = None

    @property
    def drifted(self) -> int:
        """Records that drifted."""
        return self.drift.total()

    def count(self, result: Comparison) -> None:
        """Add what a closer look at some records came to."""
        self.in_flight += len(result.in_flight)
        self.unremembered += len(result.unremembered)
        self.unusable_keys += len(result.unusable)
        self.unreadable_rows += len(result.unreadable)
        self.unreadable_records += len(result.unreadable_records)


@dataclass
class Report:
    """One run. `seconds` is its duration; `repairs` counts the resync messages sent; `stopped` is why it did not end.

    An entity that could not be compared says why in `failed`; the others are complete. `asked` marks a comparison that
    a person asked for, which repairs nothing whatever the settings say.
    """

    run: str
    at: datetime
    seconds: float = 0.0
    repairs: int = 0
    entities: tuple[EntityReport, ...] = ()
    mode: Literal["repair", "report"] = "repair"
    pending: int = 0
    brake: Brake | None = None
    requests: dict[str, int] = field(default_factory=dict)
    queues: tuple[QueueState, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    history: tuple[PastRun, ...] = ()
    notes: list[str] = field(default_factory=list)
    lag_seconds: float | None = None
    stopped: str | None = None
    stored: str | None = None
    asked: bool = False

    def add(
        self, entity: EntityReport, findings: Sequence[Finding], newest_sync: datetime | None, now: datetime
    ) -> None:
        """Take in one entity's pass that came to its end."""
        self.entities = (*self.entities, entity)
        self.findings += findings[: MOST_FINDINGS - len(self.findings)]
        if newest_sync is not None:
            lag = max((now - newest_sync).total_seconds(), 0.0)
            self.lag_seconds = lag if self.lag_seconds is None else min(lag, self.lag_seconds)

    @property
    def kind(self) -> Kind:
        """Full if any entity was compared as a whole."""
        return "full" if any(entity.kind == "full" for entity in self.entities) else "incremental"

    @property
    def failed(self) -> bool:
        """Whether something could not be compared, or the run not come to its end."""
        return self.stopped is not None or any(entity.failed is not None for entity in self.entities)

    @property
    def drifted(self) -> int:
        """Records that drifted, over all entities."""
        return sum(entity.drifted for entity in self.entities)

    def totals(self) -> dict[DriftClass, int]:
        """Drifted records by class, over all entities; classes without any are left out."""
        found: Counter[DriftClass] = Counter()
        for entity in self.entities:
            found.update(entity.drift)
        return dict(sorted(found.items()))
