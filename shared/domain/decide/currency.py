"""A row whose currency has changed: its figures mean something else, and none travels before a person has said so."""

from shared.domain.blocked import Blocked, digest
from shared.domain.decide.situation import Context, Snapshot
from shared.errors import CurrencyChanged


def currency_changed(snapshot: Snapshot, context: Context) -> bool:
    """Whether the row has another currency than when both sides last agreed, and nobody has accepted that.

    Accepted is the currency for which a message was parked and replayed: a word on a restored side, or another replay,
    tells of none.
    """
    shown, seen = snapshot.row.currency, snapshot.link.seen.currency
    accepted = context.recreate or {CurrencyChanged.reason, digest(shown)} <= context.insists_on
    return not accepted and None not in {shown, seen} and shown != seen


def held_figures(snapshot: Snapshot, context: Context) -> list[Blocked]:
    """The figures that wait for a person: every number with decimals of which a side holds something."""
    if not currency_changed(snapshot, context):
        return []
    said, held, currency = snapshot.cmms.values, snapshot.row.values, digest(snapshot.row.currency)
    return [
        Blocked(name, "dynamics", currency, _error(name, snapshot))
        for name, rule in context.entity.fields.items()
        if rule.type == "decimal" and {said.get(name), held.get(name)} != {None}
    ]


def _error(name: str, snapshot: Snapshot) -> CurrencyChanged:
    return CurrencyChanged(
        f"{name}: the row {snapshot.row.id} of {snapshot.link.key} has the currency {snapshot.row.currency} by now, and"
        f" had {snapshot.link.seen.currency} when both sides last agreed. Correct the currency, or the figures on"
        " either side; then replay this message, which takes the new currency for agreed.",
        field=name,
    )
