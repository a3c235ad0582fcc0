"""The ledger's stores."""

from shared.adapters.ledger.sqlite import SqliteLedger
from shared.adapters.ledger.table import AzureTableLedger

__all__ = ["AzureTableLedger", "SqliteLedger"]
