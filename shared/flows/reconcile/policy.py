"""How the settings want drift to be looked for and repaired."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True)
class Policy:
    """What the settings say.

    `settle`: a record touched less than this ago may still be on its way. `full_every`: zero makes each run a full one.
    """

    settle: timedelta
    full_every: timedelta = timedelta()
    max_repairs: int = 10_000
    mode: Literal["repair", "report"] = "repair"
