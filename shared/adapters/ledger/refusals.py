"""What a ledger refuses, in sentences for a person."""

from shared.domain.ledger import Entry
from shared.errors import KeyNotUsable


def bound_elsewhere(entry: Entry) -> KeyNotUsable:
    """Another key holds the entry's Dynamics id."""
    return KeyNotUsable(
        f"The Dynamics row {entry.dynamics_id} is already bound to another key than {entry.key}: correct the key of one"
        " of the two records."
    )
