"""The ledger's stores."""

from shared.adapters.ledger.sqlite import SqliteLedger

__all__ = ["SqliteLedger"]
