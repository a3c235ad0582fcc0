"""A run's report as JSON, and as one HTML page that needs nothing else.

What came from a record is never markup: the rows travel as JSON inside the page, with every `<` escaped, and the page's
script puts them into the document as text. What is drawn here passes through `escape`.
"""

import json
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from shared.domain.words import plural
from shared.flows.reconcile.drift import DriftClass
from shared.flows.reconcile.report import EntityReport, Finding, Report
from shared.flows.reconcile.report_chart import chart

NAMES: Final = {
    DriftClass.CMMS_AHEAD: "CMMS ahead",
    DriftClass.DYNAMICS_AHEAD: "Dynamics ahead",
    DriftClass.CONFLICT: "Conflict",
    DriftClass.MISSING_IN_DYNAMICS: "Missing in Dynamics",
    DriftClass.MISSING_IN_CMMS: "Missing in CMMS",
    DriftClass.MAPPING_CHANGED: "Mapping changed",
    DriftClass.LEDGER_BEHIND: "Ledger behind",
    DriftClass.GONE_FROM_DYNAMICS: "Gone from Dynamics",
    DriftClass.ROW_REPLACED: "Row replaced",
    DriftClass.WENT_BACK: "Went back",
    DriftClass.UNREADABLE_COLUMN: "Unreadable column",
    DriftClass.NO_EFFECT: "No effect",
    DriftClass.NOT_CREATED: "Not created",
    DriftClass.DUPLICATE_KEY: "Duplicate key",
}


_ASKED: Final = '<p class="empty">The timer\'s runs have reports of their own: this one was asked for by hand.</p>'
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def as_json(report: Report) -> str:
    """The report for machines: see docs/reconcile.md for its members."""
    return json.dumps(_content(report), ensure_ascii=False, indent=1)


def as_html(report: Report) -> str:
    """The report for people: filter and search are in the page."""
    shown = report.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    rows = [_row(finding) for finding in report.findings]
    return _template().substitute(
        when=escape(shown),
        kind=escape("Full pass" if report.kind == "full" else "Incremental pass"),
        run=escape(report.run),
        facts=_facts(report),
        banner=_banner(report),
        tiles=_tiles(report),
        counts=_counts(report),
        chart=_ASKED if report.asked else chart(report.history, NAMES),
        notes=_notes(report),
        total=f"{report.drifted:,}",
        names=_embedded({kind.value: name for kind, name in NAMES.items()}),
        rows=_embedded(rows),
    )


@cache
def _template() -> Template:
    return Template(files(__package__).joinpath("report.html").read_text("utf-8"))


def _embedded(value: object) -> str:
    """JSON that no parser of HTML takes for anything else."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _row(finding: Finding) -> list[Any]:
    return [
        finding.entity,
        finding.key,
        finding.kind.value,
        finding.action,
        [[one.field, one.cmms, one.dynamics, one.rule, one.plan] for one in finding.differences],
    ]


def _content(report: Report) -> dict[str, Any]:
    return {
        "run": report.run,
        "at": report.at.isoformat(),
        "kind": report.kind,
        "stopped": report.stopped,
        "mode": report.mode,
        "seconds": round(report.seconds, 3),
        "requests": report.requests,
        "repairs": report.repairs,
        "pending": report.pending,
        "brake": report.brake.model_dump(mode="json") if report.brake else None,
        "drift": {kind.value: count for kind, count in report.totals().items()},
        "entities": [_entity(one) for one in report.entities],
        "queues": [vars(queue) for queue in report.queues],
        "lag_seconds": report.lag_seconds,
        "notes": report.notes,
        "history": [past.model_dump(mode="json") for past in report.history],
        "findings_left_out": report.drifted - len(report.findings),
        "findings": [
            {
                "entity": one.entity,
                "key": one.key,
                "class": one.kind.value,
                "action": one.action,
                "differences": [vars(difference) for difference in one.differences],
            }
            for one in report.findings
        ],
    }


def _entity(one: EntityReport) -> dict[str, Any]:
    return {**vars(one), "drift": {kind.value: count for kind, count in sorted(one.drift.items())}}


def _facts(report: Report) -> str:
    facts = [f"took {report.seconds:,.1f} s"]
    facts += [f"{plural(count, 'request')} to {side}" for side, count in report.requests.items()]
    if report.asked:
        facts.append("asked for by a person: compares, and repairs nothing")
    else:
        facts.append("enqueues repairs" if report.mode == "repair" else "repairs nothing (RECONCILE_MODE=report)")
    return escape(" · ".join(facts))


def _banner(report: Report) -> str:
    failed = [f"{one.entity} could not be compared: {one.failed}" for one in report.entities if one.failed is not None]
    if report.stopped is not None:
        failed.append(f"The run did not come to its end: {report.stopped}")
    lines = "".join(
        f'<p class="banner" role="alert"><strong>Not complete.</strong> {escape(text)} It is tried again by the next'
        " run; until then nothing of it counts as compared.</p>"
        for text in failed
    )
    return lines + _brake(report)


def _brake(report: Report) -> str:
    if report.brake is None:
        return ""
    held, rows = f"{report.brake.held:,}", plural(report.brake.ledger_rows, "known record")
    return (
        f'<p class="banner" role="alert"><strong>The brake is on.</strong> {held} of {rows} would be'
        " repaired, which is more likely a mistake in the mapping than work of people. Nothing was repaired. Correct"
        " the mapping; or, if these repairs are meant, release the brake:"
        ' <code>.venv/bin/python -m ops drift --release-brake "your name"</code> (on the stack of <code>make up</code>'
        " with <code>--local</code>)</p>"
    )


def _tiles(report: Report) -> str:
    tiles = {
        "drifted": report.drifted,
        "repairs enqueued": report.repairs,
        "repairs left to later runs": report.pending,
        "in flight: looked at again": sum(one.in_flight for one in report.entities),
        "compared": sum(one.compared for one in report.entities),
    }
    shown = {name: f"{count:,}" for name, count in tiles.items()} | {"oldest waiting message": _oldest(report)}
    return "".join(f"<li><b>{figure}</b><span>{escape(name)}</span></li>" for name, figure in shown.items())


def _oldest(report: Report) -> str:
    """The longest that a message of any queue has waited, in its largest unit."""
    ages = [queue.oldest_seconds for queue in report.queues if queue.oldest_seconds is not None]
    if not ages:
        return "–"  # noqa: RUF001  # what a person reads as "not known"
    seconds = max(ages)
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:,.0f} {unit}"


def _counts(report: Report) -> str:
    head = "".join(f'<th scope="col">{escape(one.entity)}</th>' for one in report.entities)
    body = "".join(
        f'<tr><th scope="row"><i class="dot {kind.value}"></i>{escape(name)}</th>'
        + "".join(f"<td>{_count(one, kind)}</td>" for one in report.entities)
        + "</tr>"
        for kind, name in NAMES.items()
    )
    return f'<thead><tr><th scope="col">class</th>{head}</tr></thead><tbody>{body}</tbody>'


def _count(one: EntityReport, kind: DriftClass) -> str:
    return "–" if one.failed is not None else f"{one.drift.get(kind, 0):,}"  # noqa: RUF001  # not known, which is not 0


def _notes(report: Report) -> str:
    notes = [*report.notes]
    for one in report.entities:
        notes += [f"{one.entity}: {note}" for note in one.notes]
        if one.unusable_keys:
            notes.append(
                f"{one.entity}: not synchronized for want of a usable key: {plural(one.unusable_keys, 'record')}."
            )
        if one.unreadable_rows:
            notes.append(f"{one.entity}: unreadable, and left out: {plural(one.unreadable_rows, 'row')} of the ledger.")
        if one.unreadable_records:
            notes.append(
                f"{one.entity}: unreadable, and left out: {plural(one.unreadable_records, 'record')} of the CMMS."
            )
        if one.unremembered:
            notes.append(f"{one.entity}: in agreement, and new to the ledger: {plural(one.unremembered, 'record')}.")
    if left_out := report.drifted - len(report.findings):
        notes.append(
            f"The table shows the first {plural(len(report.findings), 'record')}; the counts hold {left_out:,} more."
        )
    for queue in report.queues:
        if queue.moved:
            notes.append(f"Moved to parked: {plural(queue.moved, 'dead letter')} of the queue {queue.name}.")
    return "".join(f"<li>{escape(note)}</li>" for note in notes)
