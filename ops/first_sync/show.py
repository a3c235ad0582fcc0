"""A plan as tables on the terminal."""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from ops.first_sync.words import chosen, fate, standing
from ops.output import plain, table
from ops.session import Session
from shared.domain.words import plural
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.plan import EntityPlan

_SHOWN: Final = 3


def show_plan(session: Session, plans: Sequence[EntityPlan], choices: Choices) -> None:
    """Print a plan as tables."""
    for one in plans:
        _show_entity(session, one)
    out = session.out
    for text in chosen(choices):
        out.print(escape(plain(text)), soft_wrap=True)


def _show_entity(session: Session, one: EntityPlan) -> None:
    out = session.out
    if one.cannot:
        out.print(f"[bold]{escape(one.entity)}[/]: mend these first; until then no record can be compared.")
        for finding in one.cannot:
            text = f"{finding.area}, {finding.subject}: {finding.message}"
            out.print(
                f"[red]! {escape(plain(text))}[/]\n    [dim]->[/] {escape(plain(finding.action))}", soft_wrap=True
            )
        return
    sides = f"{plural(one.records, 'record')} in the CMMS, {plural(one.rows, 'row')} in Dynamics"
    out.print(f"[bold]{escape(one.entity)}[/]: {sides}", soft_wrap=True)
    table(
        out,
        ("how they stand", "records", "the run"),
        [(what, f"{count:,}", does) for what, count, does in standing(one)],
    )
    if one.differences:
        rows = [
            (
                difference.name,
                f"{difference.count:,}" if not place else "",
                difference.what if not place else "",
                key,
                "-" if cmms is None else cmms,
                "-" if dynamics is None else dynamics,
            )
            for difference in sorted(one.differences.values(), key=lambda each: -each.count)
            for place, (key, cmms, dynamics) in enumerate(difference.examples[:_SHOWN])
        ]
        out.print()
        table(out, ("field that differs", "records", "what happens", "such as", "CMMS", "Dynamics"), rows)
    if one.troubles:
        troubles = sorted(one.troubles.values(), key=lambda each: (each.kind, -each.count))
        wrong = [
            (
                f"{each.count:,}" if not place else "",
                each.reason if not place else "",
                fate(each) if not place else "",
                key,
                message,
            )
            for each in troubles
            for place, (key, message) in enumerate(each.examples[:_SHOWN])
        ]
        out.print()
        table(out, ("records", "reason", "what happens", "such as", "what is wrong"), wrong)
    if one.closed:
        text = f"Closed rows in Dynamics: {one.closed:,}. A closed row refuses every edit until it is reopened."
        out.print(text, soft_wrap=True)
    for note in one.notes:
        out.print(f"[dim]{escape(plain(note))}[/]", soft_wrap=True)
    out.print()
