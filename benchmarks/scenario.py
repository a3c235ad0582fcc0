"""What a scenario is: a question, the variants that answer it, and the figures that each run yields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

type Figures = Mapping[str, float]
"""What one run of one variant yields, such as `{"seconds": 17.2, "requests": 12}`."""


@dataclass(frozen=True)
class Size:
    """How much is measured: records where speed is asked, runs of each variant, and of slow scenarios."""

    name: str
    records: int
    repeats: int
    slow_repeats: int
    outage_seconds: float
    links: tuple[int, ...]
    swept: int
    growth: tuple[int, ...]
    edits: int = 30
    window_seconds: float = 30
    retry_seconds: float = 60
    posts: int = 1_000
    note: str = ""


FULL: Final = Size(
    "full",
    10_000,
    5,
    3,
    outage_seconds=60,
    links=(0, 100_000, 1_000_000),
    swept=1_000_000,
    growth=(1_000, 5_000, 25_000),
)
MEDIUM: Final = Size(
    "medium",
    1_000,
    3,
    1,
    outage_seconds=60,
    links=(0, 100_000, 1_000_000),
    swept=1_000_000,
    growth=(250, 1_000, 4_000),
    posts=200,
    note="This size is for a machine that does much else at the same time: all processes wait for a core, and slow"
    " scenarios run once. Compare within a table, and read requests, rows and CPU before seconds.",
)
SMALL: Final = Size(
    "small", 1_000, 2, 1, outage_seconds=20, links=(0, 10_000, 100_000), swept=20_000, growth=(250, 500, 1_000)
)
MINIATURE: Final = Size(
    "miniature",
    40,
    1,
    1,
    outage_seconds=1,
    links=(0, 50),
    swept=2_000,
    growth=(20, 40),
    edits=3,
    window_seconds=2,
    retry_seconds=0.5,
    posts=20,
)
SIZES: Final = {size.name: size for size in (FULL, MEDIUM, SMALL, MINIATURE)}


class Unit(StrEnum):
    """How a figure is written."""

    SECONDS = "s"
    COUNT = ""
    TIMES = "x"
    MEGABYTES = "MB"
    MILLISECONDS = "ms"


@dataclass(frozen=True)
class Column:
    """One figure of a scenario's table."""

    figure: str
    heading: str
    unit: Unit = Unit.COUNT


@dataclass(frozen=True)
class Plot:
    """A chart of one figure; `axis` says what the numbers are and which way is better."""

    figure: str
    title: str
    axis: str = "seconds; shorter is better"


@dataclass(frozen=True)
class Scenario:
    """A question. `measure` makes one run of one variant."""

    name: str
    title: str
    about: str
    """What is done, under which model, and what the figures mean."""
    variants: Callable[[Size], Sequence[str]]
    measure: Callable[[Size, str], Figures]
    columns: Sequence[Column]
    plots: Sequence[Plot] = ()
    slow: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def repeats(self, size: Size) -> int:
        """How many runs of each variant a complete measurement has."""
        return size.slow_repeats if self.slow else size.repeats
