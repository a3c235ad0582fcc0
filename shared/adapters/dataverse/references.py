"""What the codes in some writes refer to: the rows to bind, and what cannot be bound."""

from collections.abc import Mapping
from copy import replace
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from shared.adapters.dataverse.wire import Binding, Codes
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.schema.fields import FieldMapping
from shared.errors import LookupNotFound, LookupPending, SyncError


@dataclass(frozen=True)
class References:
    """What the codes of some writes refer to, by field and code, or why they refer to nothing."""

    bindings: Mapping[tuple[str, str], Binding] = field(default_factory=dict)
    problems: Mapping[tuple[str, str], SyncError] = field(default_factory=dict)

    @cached_property
    def codes(self) -> Codes:
        """The codes of the rows that they refer to."""
        return {(name, bound.row_id): code for (name, code), bound in self.bindings.items()}

    def without_problems(self, write: DynamicsWrite) -> tuple[DynamicsWrite | None, SyncError | None]:
        """What of a write can be written, and the error of a field that cannot.

        A part of a write bears a stamp of its own: a row that shows an operation holds all of its values.
        """
        wrong = {
            name: self.problems[name, value]
            for name, value in write.values.items()
            if value is not None and (name, value) in self.problems
        }
        if not wrong:
            return write, None
        # What waits comes back by itself; what is wrong has to be told first.
        error = next((one for one in wrong.values() if isinstance(one, LookupNotFound)), next(iter(wrong.values())))
        rest = {name: value for name, value in write.values.items() if name not in wrong}
        if write.id is not None and not rest and write.state is None and not write.writes_key:
            return None, error
        return replace(write, values=rest, operation=write.part), error


NO_REFERENCES: Final = References()


def problem(rule: FieldMapping, code: str, rows: int) -> SyncError:
    """Why a code refers to nothing: `rows` have it, none or several."""
    where = " or ".join(f"{target.table}.{target.key}" for target in rule.targets)
    if rows:
        message = f"{rule.name}: {rows} rows have the code {code[:100]!r} in {where}, and a lookup needs exactly one."
        return LookupNotFound(f"{message} Give the others codes of their own.", field=rule.name)
    message = f"{rule.name}: no row has the code {code[:100]!r} in {where}, written in just these letters."
    if any(target.mapped for target in rule.targets):
        return LookupPending(f"{message} It is waited for, as the mapping creates such rows.", field=rule.name)
    return LookupNotFound(f"{message} Create it there, or correct the code in Energy CMMS.", field=rule.name)
