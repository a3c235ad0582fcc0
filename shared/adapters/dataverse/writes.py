"""A write of one row as the requests need it, made from the engine's intent."""

from msgspec import Struct

from shared.domain.model import Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent, part_of


class DynamicsWrite(Struct, frozen=True):
    """A create (`id` None) or an update of one row, by id and etag.

    `values` are in the Dynamics normal form by field; `state` sets a state and status beside them; `key` is the
    business key, written where `writes_key`; `new_id` is the id that a created row gets; `operation` goes into the
    stamp column; a closed row takes none.
    """

    key: str
    id: str | None
    etag: str | None
    values: Values
    state: tuple[int | None, int] | None = None
    writes_key: bool = False
    new_id: str | None = None
    operation: str = ""

    @property
    def part(self) -> str:
        """What goes into the stamp column with a part of the write."""
        return part_of(self.operation)

    def __post_init__(self) -> None:
        if self.id is not None and not self.etag:
            raise ValueError("an update needs the etag of the row as it was read: it must never be unconditional")


def write_of(entity: EntityMapping, intent: Intent) -> DynamicsWrite:
    """The write that an intent announces."""
    values = dict(intent.values)
    key = values.pop(entity.key.name, None)
    return DynamicsWrite(
        key=key or "",
        id=None if intent.creates else intent.target,
        etag=intent.etag,
        values=values,
        state=intent.state,
        writes_key=key is not None,
        new_id=intent.target if intent.creates else None,
        operation=intent.id if intent.stamped else "",
    )
