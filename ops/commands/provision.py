"""`provision`: set Dynamics up for the mapping."""

from collections import Counter
from typing import Annotated

import typer
from rich.markup import escape

from ops.command import command
from ops.output import plain
from ops.session import ExitCode, Session, UsageError
from shared.flows.operate.provision import Change, Provisioner
from shared.flows.operate.webhook_steps import Webhook

_MARKS = {
    "create": "[green]  + create[/]",
    "change": "[yellow]  ~ change[/]",
    "keep": "[dim]  = keep  [/]",
    "remove": "[red]  - remove[/]",
    "cannot": "[bold red]  ! cannot[/]",
}


@command
async def provision(
    session: Session,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where Dynamics calls: https://APP.azurewebsites.net/api/dynamics/webhook."
            " Without it: OPS_WEBHOOK_URL, else the address that is registered.",
        ),
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Also create the custom columns that are missing.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take away what provision made, and nothing else.")] = False,
    solution: Annotated[
        str | None, typer.Option(help="Unique name of the solution that new components go into.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Create what the mapping needs in Dynamics: keys, change tracking, the webhook and its steps.

    Shows a plan, asks, then carries it out. Each step can be repeated: after an interruption, run it again. With
    --dry-run the exit code is 1 if something would change. Needs System Customizer rights or more.

    For example:

    \b
        python -m ops provision --local --dry-run
        python -m ops provision --url https://contoso-sync.azurewebsites.net/api/dynamics/webhook --yes
        python -m ops provision --remove --local
    """
    session.solution = solution
    if session.as_json and not (dry_run or yes):
        raise UsageError("--json cannot ask: add --yes to carry the plan out, or --dry-run to see it only.")
    own = session.wiring.settings
    secret = own.dynamics_365_webhook_secret.get_secret_value()
    webhook = Webhook(url or session.webhook_url, own.dynamics_365_webhook_header, secret)
    provisioner = Provisioner(session.platform, session.wiring.mapping, session.wiring.clock, webhook)
    plan = await (provisioner.removal(columns=columns) if remove else provisioner.plan(columns=columns))
    counts: Counter[str] = Counter(change.verb for change in plan)
    todo = [change for change in plan if change.run is not None]
    if not session.as_json:
        _show(session, plan, counts)
    if dry_run or not todo:
        if session.as_json:
            session.print_json(_document(plan, done=0))
        return ExitCode.FINDINGS if todo or counts["cannot"] else ExitCode.FINE
    if not yes and not session.agreed("Carry this out?"):
        session.note("Nothing was changed.")
        return ExitCode.FINDINGS
    for number, change in enumerate(todo, start=1):
        await _carry_out(session, change, number, len(todo))
    if session.as_json:
        session.print_json(_document(plan, done=len(todo)))
    else:
        session.out.print(f"[green]{len(todo)} done.[/]")
    return ExitCode.FINDINGS if counts["cannot"] else ExitCode.FINE


async def _carry_out(session: Session, change: Change, number: int, total: int) -> None:
    title = f"{number}/{total} {change.verb} {change.what}"
    with session.err.status(escape(title)) as status:
        if change.run is not None:
            await change.run(lambda text: status.update(escape(f"{title}: {text}")))
    session.err.print(escape(f"  {title}"), style="green")


def _show(session: Session, plan: list[Change], counts: Counter[str]) -> None:
    for change in plan:
        detail = f" [dim]({escape(plain(change.detail))})[/]" if change.detail else ""
        session.out.print(f"{_MARKS[change.verb]} {escape(plain(change.what))}{detail}", soft_wrap=True)
    shown = ", ".join(f"{counts[verb]} to {verb}" for verb in ("create", "change", "remove", "keep") if counts[verb])
    session.out.print(
        f"\nPlan: {shown or 'nothing'}{f'; {counts["cannot"]} cannot be done' if counts['cannot'] else ''}"
    )


def _document(plan: list[Change], *, done: int) -> dict[str, object]:
    return {
        "done": done,
        "plan": [{"verb": change.verb, "what": change.what, "detail": change.detail} for change in plan],
    }
