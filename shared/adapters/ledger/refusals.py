"""What a ledger refuses, in sentences for a person."""

from shared.domain.ledger import Entry
from shared.errors import ConfigurationError, KeyNotUsable


def bound_elsewhere(entry: Entry) -> KeyNotUsable:
    """Another key holds the entry's Dynamics id."""
    return KeyNotUsable(
        f"The Dynamics row {entry.dynamics_id} is already bound to another key than {entry.key}: correct the key of one"
        " of the two records."
    )


def unreadable(key: object, error: Exception) -> ConfigurationError:
    """What is stored is not what this version of the product writes."""
    return ConfigurationError(
        f"The ledger's row of {key} cannot be read ({type(error).__name__}): it was edited by hand or written by a"
        " newer version. Restore it, or delete it so that the record is met anew."
    )
