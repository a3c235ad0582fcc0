"""What both sides held of one field when they last agreed."""

from collections.abc import Mapping
from typing import Final, Literal, Self

from shared.domain.kept import Kept
from shared.domain.model import Side, Value, other

type Why = Literal[
    "both_changed",
    "first_contact",
    "one_way",
    "create_only",
    "late_write",
    "taken_over",
    "key_released",
    "restored",
    "revived",
]
"""Why a value lost: see `ConflictRecord`."""


class Base(Kept, frozen=True):
    """What each side held of one field when both last agreed. A side has changed only against its own base.

    `rule` is the fingerprint of the field's mapping at that time: under another mapping the base counts for nothing.
    `unclear` names a side that held its old value after a write whose answer was lost, and after another edit there:
    the write had no effect, or a person put the old value back. `why` is on record where a side that alone has changed
    against the base replaces the other one's value; mostly that value is nobody's loss.
    """

    cmms: Value
    dynamics: Value
    rule: str = ""
    unclear: Side | None = None
    why: Why | None = None

    @classmethod
    def of(cls, held: Mapping[Side, Value], rule: str, *, unclear: Side | None = None, why: Why | None = None) -> Self:
        """The base of a field of which the sides hold these values, under the rule with this fingerprint."""
        return cls(cmms=held["cmms"], dynamics=held["dynamics"], rule=rule, unclear=unclear, why=why)

    @property
    def is_agreed(self) -> bool:
        """Whether both sides held these values, and neither only stands for what is still to be agreed."""
        return NEWS not in {self.cmms, self.dynamics}

    @property
    def is_of_dynamics_alone(self) -> bool:
        """Whether Dynamics alone held a value, such as the state that a row was born with and that no record says."""
        return self.cmms is None and self.dynamics is not None

    @property
    def as_news(self) -> "Base":
        """The base under which the source of an unclear write has changed; else the base itself."""
        return self if self.unclear is None else self.model_copy(update={other(self.unclear): NEWS})


NEWS: Final = "\0"
"""The base of a side whose value counts as a change, whatever it is: no normal form of any type equals this text."""
