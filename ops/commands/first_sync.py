"""`first-sync plan|run|status`: bring two full systems together."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ops.command import command
from ops.commands.resync import age_of
from ops.session import ExitCode, Session, UsageError

# The comparison brings SQL and templates with it, which no other command needs.
# ruff: noqa: PLC0415

app = typer.Typer(
    help="Bring two full systems together: look beforehand, choose, run, and read what became of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Rate = Annotated[float, typer.Option(min=0.1, max=10_000, help="Messages a second that the run hands over, at most.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write the readable page to this file.")
]
OpenPage = Annotated[bool, typer.Option("--open", help="Open the readable page in the browser.")]


@app.command(short_help="Compare both sides, and show what a first sync would do.")
@command
async def plan(
    session: Session,
    entity: Annotated[
        list[str] | None, typer.Option("--entity", "-e", help="Only this entity: asset or order; may be repeated.")
    ] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FIELD=]SIDE",
            help="Who wins where both sides differ: cmms, dynamics, or mapping (each field's own rule). With FIELD="
            " or ENTITY.FIELD= for one field; may be repeated.",
        ),
    ] = None,
    create_in: Annotated[
        str | None,
        typer.Option(metavar="SIDE", help="Where missing records are created: cmms, dynamics, both or none."),
    ] = None,
    rate: Rate = 100.0,
    report_file: ReportFile = None,
    open_page: OpenPage = False,
) -> int:
    """Compare both sides and the ledger, and show what a first sync would do; write nothing on either side.

    The plan is remembered beside the ledger, with its choices and counts: 'run' carries out just that. The exit code
    is 1 if something needs a person, such as a doubled key or a value that Dynamics would refuse.

    For example:

    \b
        python -m ops first-sync plan --local
        python -m ops first-sync plan --entity asset --prefer dynamics --prefer nombre=cmms --local
        python -m ops first-sync plan --create-in dynamics --report plan.html --local
    """
    from ops.first_sync.compare import compare
    from ops.first_sync.page import Page, write_page
    from ops.first_sync.show import show_plan
    from ops.first_sync.words import expected, plan_document
    from shared.flows.operate.first_sync.choices import WrongChoice, choose
    from shared.flows.operate.first_sync.estimate import estimate
    from shared.flows.operate.first_sync.memory import store_plan

    wiring = session.wiring
    try:
        choices = choose(wiring.mapping, entities=entity or (), prefer=prefer or (), create_in=create_in)
    except WrongChoice as error:
        raise UsageError(str(error)) from None
    now = wiring.clock.now()
    with ExitStack() as stack:
        compared = await compare(session, choices, stack, since=None)
    plans = [one.plan for one in compared]
    usable = not any(one.cannot for one in plans)
    if usable:
        await store_plan(wiring.state, now, choices, wiring.mapping, plans)
    found = estimate(plans, rate)
    if report_file is not None or open_page:
        write_page(session, Page(now, choices, plans, found), report_file, open_page=open_page)
    if session.as_json:
        session.print_json(plan_document(plans, choices, found))
    else:
        show_plan(session, plans, choices)
        if usable:
            session.out.print(escape(expected(found)), soft_wrap=True)
            session.out.print("'first-sync run' carries this plan out within the next 24 hours.")
    return ExitCode.FINE if usable and not any(one.troubles for one in plans) else ExitCode.FINDINGS


@app.command(short_help="Carry out the last plan.")
@command
async def run(
    session: Session,
    rate: Rate = 100.0,
    patience: Annotated[
        str, typer.Option(metavar="AGE", help="How long to wait at the end for messages that are tried again.")
    ] = "30m",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    report_file: ReportFile = None,
    open_page: OpenPage = False,
) -> int:
    """Carry out the plan that 'first-sync plan' made last, and report what became of it.

    Compares again first, and refuses if the plan no longer fits: another mapping, other counts, records changed since,
    or a plan that is older than 24 hours. Every record is then handed to the engine, which links, writes, records
    conflicts and parks as always. May be interrupted at any time: run it again, and it goes on with what is left. The
    exit code is 1 if something was parked or is left.

    For example:

    \b
        python -m ops first-sync run --local
        python -m ops first-sync run --rate 50 --yes --report done.html --local
    """
    from ops.first_sync.run import carry_out

    return await carry_out(
        session, rate=rate, patience=age_of(patience), yes=yes, report_file=report_file, open_page=open_page
    )


@app.command()
@command
async def status(
    session: Session,
) -> int:
    """Show the last plan, and how far its run has come.

    The exit code is 1 while a run is under way or was interrupted.

    For example:

    \b
        python -m ops first-sync status --local
    """
    from ops.first_sync.run import show_status

    return await show_status(session)
