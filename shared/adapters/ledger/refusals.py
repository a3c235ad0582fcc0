"""What a ledger refuses, in sentences for a person."""

from shared.domain.ledger import Entry
from shared.errors import KeyNotUsable, LedgerUnreadable


def bound_elsewhere(entry: Entry) -> KeyNotUsable:
    """Another key holds the entry's Dynamics id."""
    return KeyNotUsable(
        f"The Dynamics row {entry.dynamics_id} is already bound to another key than {entry.key}: correct the key of one"
        " of the two records."
    )


def unreadable(entity: str, key: str, error: Exception | None = None) -> LedgerUnreadable:
    """What is stored is not what this version of the product writes."""
    why = f"({type(error).__name__})" if error is not None else "(it names another key)"
    return LedgerUnreadable(
        f"The ledger's row of {entity} {key} cannot be read {why}: it was edited by hand or written by a newer version."
        " Restore it, or delete it so that the record is met anew; then replay what was parked of it.",
        key=key,
    )
