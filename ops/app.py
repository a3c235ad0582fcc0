"""The commands of the operator's command line, and its manual."""

import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final

import typer

from ops.commands import first_sync, mapping, parked
from ops.commands.check import check
from ops.commands.console import console
from ops.commands.drift import drift
from ops.commands.provision import provision
from ops.commands.restored import restored
from ops.commands.resync import resync
from ops.commands.show import show
from ops.commands.status import status
from ops.commands.tail import tail

HELP: Final = """
The operator's command line of the integration between Energy CMMS and Dynamics 365.

A first set-up is these commands:

\b
    # what is missing, and what to do
    python -m ops check
    # shows a plan, asks, creates keys and the webhook
    python -m ops provision
    # what the data on both sides would park
    python -m ops check --data
    # two full systems: look beforehand, then bring them together
    python -m ops first-sync plan --report plan.html
    python -m ops first-sync run

From then on:

\b
    # everything at a glance in the browser: look, replay, discard
    python -m ops console
    # the same on one screen of the terminal
    python -m ops status --watch
    # what differs, field by field
    python -m ops drift
    # one record's story
    python -m ops show --entity asset --key 0001
    # have it repaired now
    python -m ops resync --entity asset --key 0001 --wait
    # what waits for a person; then show, replay or discard
    python -m ops parked list

Settings are those of the functions, from the environment or from --settings FILE. You sign in as azure-identity's
default chain finds you ('az login' is enough), or as the client secret that the settings name. --local works on the
stack that 'make up' runs.

Exit codes: 0 fine, 1 findings (drift, errors, something left to do), 2 wrong usage or settings, 3 unreachable.
With --json stdout holds one JSON document, so that other programs can read it.
"""

_PYPROJECT: Final = Path(__file__).resolve().parent.parent / "pyproject.toml"


def version() -> str:
    """The product's version: that of the checkout, else that of the installed package."""
    if _PYPROJECT.is_file():
        return str(tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]["version"])
    return metadata.version("energy-dynamics-sync")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"energy-dynamics-sync {version()}")
        raise typer.Exit


app = typer.Typer(
    name="python -m ops",
    help=HELP,
    no_args_is_help=True,
    # Plain text: an example stays on its line, so that it can be pasted, whatever the terminal's width.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    version_: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take what stands before the command."""


_COMMANDS: Final[dict[Callable[..., None], str]] = {
    check: "Is everything set up as the mapping needs it?",
    provision: "Set Dynamics up for the mapping.",
    console: "Everything in the browser: look and act.",
    status: "Everything on one screen.",
    tail: "A line for each processed message.",
    drift: "What differs between the two sides.",
    show: "One record's story.",
    resync: "Have records looked at again.",
    restored: "Settle what a restored backup took back.",
}
for command, short in _COMMANDS.items():
    app.command(short_help=short)(command)
app.add_typer(parked.app, name="parked")
app.add_typer(mapping.app, name="mapping")
app.add_typer(first_sync.app, name="first-sync", short_help="Bring two full systems together.")
