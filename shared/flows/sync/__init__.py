"""The sync engine: one use case, many messages at a time.

To be read in this order: `engine` with `lanes` (a batch, round by round), `deliveries` and `work` (its messages, by
record), `resolve` (which record a message is about), `snapshot` with `look` and `reads` (the ledger and both sides),
then `shared.domain.decide` (what to do), `step` and `execute` (announced, written, parked), `answer` (what came back),
`commit` (what the ledger remembers of it). Then `lag`, `secured`, `mass_clear` and `witnesses` (what is not believed),
`field_versions` (one-way mode), and `metrics`.
"""

from shared.flows.sync.engine import Summary, Sync

__all__ = ["Summary", "Sync"]
