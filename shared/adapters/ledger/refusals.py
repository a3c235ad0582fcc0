"""What a ledger refuses, in sentences for a person."""

from collections.abc import Collection

from shared.domain.link import Identity, Link, Stored
from shared.errors import LedgerUnreadable, LinkTooLarge


def too_large(entity: str, link: Link, why: str) -> LinkTooLarge:
    """The store has no room for a link."""
    return LinkTooLarge(
        f"The ledger cannot hold the link of {entity} {_named(link.identities[0])[:100]}: {why}. Shorten the record's"
        " longest values, then replay what was parked of it."
    )


def unreadable(entity: str, identity: Identity | str, error: Exception | None = None) -> LedgerUnreadable:
    """What is stored is not what this version of the product writes.

    Args:
        entity: The entity's name.
        identity: The identity under which it is stored; the row's name where the row no longer tells.
        error: Why it cannot be read; None where it can, but names other identities.
    """
    why = f"({type(error).__name__})" if error is not None else "(it names other identities)"
    label = _named(identity) if isinstance(identity, Identity) else identity
    return LedgerUnreadable(
        f"The ledger's row of {entity} {label} cannot be read {why}: it was edited by hand or written by a newer"
        " version. Restore it, or delete it so that the record is met anew; then replay what was parked of it.",
        identity=label,
    )


def require_identities(links: Collection[Stored]) -> None:
    """Refuse a link that nobody could ever find again.

    Raises:
        ValueError: A link has no identity: a fault of the caller.
    """
    if not all(stored.link.identities for stored in links):
        raise ValueError("a link without any identity cannot be stored: nobody could ever find it again")


def _named(identity: Identity) -> str:
    return f"{identity.kind} {identity.value}"
