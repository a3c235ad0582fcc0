"""`check`: is everything set up as the mapping needs it?"""

import base64
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from ops.command import command
from ops.output import plain
from ops.session import ExitCode, Session
from shared.domain.words import plural
from shared.errors import ConfigurationError, NotAuthorized, Unavailable
from shared.flows.operate.check import Checker, Finding, Level
from shared.flows.operate.check.data import preflight
from shared.flows.operate.check.live import SLOW, Expected, Identity, World

_MARKS = {Level.OK: "[green]ok     [/]", Level.WARNING: "[yellow]warning[/]", Level.ERROR: "[red]error  [/]"}


@command
async def check(
    session: Session,
    data: Annotated[
        bool, typer.Option("--data", help="Also read all records of both sides, and count what is bad.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")] = False,
    slow: Annotated[float, typer.Option(metavar="SECONDS", help="From when an answer is worth a warning.")] = SLOW,
) -> int:
    """Look at settings, sign-in, Dynamics, queues, storage and the CMMS; change nothing.

    Against the live definitions of Dynamics: tables, columns with types, lengths, precision and choices, alternate
    keys, change tracking, concurrency, webhook steps and the privileges of the application user. Each line is ok,
    warning or error, with what to do.

    For example:

    \b
        python -m ops check --local
        python -m ops check --data --json | jq '.findings[] | select(.level == "error")'
    """
    shown = _Shown(session, quiet=quiet)
    try:
        world = _world(session)
    except ConfigurationError as error:
        action = "correct them, then check again"
        if not session.local and session.settings_file is None:
            action += "; --settings FILE names a file with them, and --local the stack that 'make up' runs"
        shown(Finding(Level.ERROR, "settings", "settings", error.message, action))
        return shown.conclude(unreachable=False)
    checker = Checker(world, slow=slow)
    async for finding in checker.run():
        shown(finding)
    for entity in world.mapping.entities.values() if data and not checker.unreachable else ():
        with session.err.status(f"reading every {escape(entity.name)} of both sides"):
            async for finding in preflight(entity, session.wiring.dynamics, session.wiring.cmms):
                shown(finding)
    return shown.conclude(unreachable=checker.unreachable)


class _Shown:
    """Prints each finding as it comes, and keeps it."""

    def __init__(self, session: Session, *, quiet: bool) -> None:
        self._session = session
        self._quiet = quiet
        self._area = ""
        self._findings: list[Finding] = []

    def __call__(self, finding: Finding) -> None:
        self._findings.append(finding)
        if self._session.as_json or (self._quiet and finding.level is Level.OK):
            return
        out = self._session.out
        if finding.area != self._area:
            self._area = finding.area
            out.print(f"\n[bold]{escape(self._area)}[/]")
        text = f"{finding.subject}: {finding.message}" if finding.message else finding.subject
        first, *more = text.splitlines()
        out.print(f"  {_MARKS[finding.level]} {escape(plain(first))}", soft_wrap=True)
        for line in more:
            out.print(f"          {escape(plain(line))}", soft_wrap=True)
        if finding.action:
            out.print(f"          [dim]->[/] {escape(plain(finding.action))}", soft_wrap=True)

    def conclude(self, *, unreachable: bool) -> int:
        """Print the counts, and give the exit code."""
        return _conclude(self._session, self._findings, unreachable=unreachable)


def _conclude(session: Session, findings: list[Finding], *, unreachable: bool) -> int:
    counts = {level.value: sum(one.level is level for one in findings) for level in Level}
    if session.as_json:
        session.print_json({"counts": counts, "findings": [asdict(one) for one in findings]})
    else:
        errors, warnings = counts["error"], counts["warning"]
        style = "red" if errors else "yellow" if warnings else "green"
        shown = f"{plural(errors, 'error')}, {plural(warnings, 'warning')}, {counts['ok']} ok"
        session.out.print(f"\n[{style}]{shown}[/]")
    if unreachable:
        return ExitCode.UNREACHABLE
    return ExitCode.FINDINGS if counts["error"] or counts["warning"] else ExitCode.FINE


def _world(session: Session) -> World:
    wiring = session.wiring
    settings = wiring.settings
    secret = settings.dynamics_365_client_secret.get_secret_value()
    return World(
        expected=Expected(
            resource_url=settings.dynamics_365_resource_url,
            organization=settings.dynamics_365_organization_id,
            application=settings.dynamics_365_client_id if secret else settings.azure_client_id,
            header=settings.dynamics_365_webhook_header,
            secrets=settings.webhook_secrets,
            url=session.webhook_url,
            mapping_file=str(settings.sync_mapping.name),
            cmms_url=settings.cmms_base_url,
        ),
        mapping=wiring.mapping,
        platform=session.platform,
        queues=session.queues,
        ledger=wiring.ledger,
        state=wiring.state,
        cmms=wiring.cmms,
        sign_in=lambda: _sign_in(session),
        now=wiring.clock.now,
    )


async def _sign_in(session: Session) -> Identity:
    from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415  # slow to import

    resource = session.wiring.settings.dynamics_365_resource_url
    try:
        token = await session.wiring.credential.get_token(f"{resource}/.default")
    except ClientAuthenticationError as error:
        raise NotAuthorized(
            f"Signing in for {resource} failed: {str(error).splitlines()[0][:300]} Sign in with 'az login', or check"
            " AZURE_CLIENT_ID and DYNAMICS_365_RESOURCE_URL."
        ) from error
    except AzureError as error:
        raise Unavailable(f"The identity service gave no token: {type(error).__name__}.") from error
    claims = _claims(token.token)
    name = claims.get("upn") or claims.get("unique_name") or claims.get("app_displayname") or claims.get("appid")
    return Identity(str(name or "unknown"), str(claims.get("tid") or "unknown"), str(claims.get("aud") or "unknown"))


def _claims(token: str) -> dict[str, object]:
    """What a token says of itself; read for people only, and verified by nobody here."""
    try:
        part = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
