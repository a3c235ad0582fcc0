"""`python -m ops`: what the administrator of Dynamics and the person on call need, in one command each."""

import typer

from ops.commands import parked
from ops.commands.check import check
from ops.commands.drift import drift
from ops.commands.provision import provision
from ops.commands.resync import resync
from ops.commands.show import show

HELP = """
The operator's command line of the integration between Energy CMMS and Dynamics 365.

A first set-up is three commands:

    python -m ops check        # what is missing, and what to do

    python -m ops provision    # shows a plan, asks, creates keys and the webhook

    python -m ops check --data # what the data on both sides would park

From then on:

    python -m ops drift                                   # what differs, field by field

    python -m ops show --entity asset --key 0001          # one record's story

    python -m ops resync --entity asset --key 0001 --wait # repair it now

    python -m ops parked list                             # what waits for a person; then show, replay or discard

Settings are those of the functions, from the environment or from --settings FILE. You sign in as azure-identity's
default chain finds you ('az login' is enough), or as the client secret that the settings name. --local works on the
stack that 'make up' runs.

Exit codes: 0 fine, 1 findings (drift, errors, something left to do), 2 wrong usage or settings, 3 unreachable.
With --json stdout holds one JSON document, so that other programs can read it.
"""

app = typer.Typer(
    name="python -m ops",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(provision)
app.command()(resync)
app.command()(drift)
app.command()(show)
app.add_typer(parked.app, name="parked")

if __name__ == "__main__":
    app(prog_name="python -m ops")
