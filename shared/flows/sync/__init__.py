"""The sync engine: one use case, many messages at a time."""

from shared.flows.sync.engine import Summary, Sync

__all__ = ["Summary", "Sync"]
