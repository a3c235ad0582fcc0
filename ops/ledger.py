"""`python -m ops.ledger`: a backup of the ledger's table in a file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from ops.command import command
from ops.session import ExitCode, Session, UsageError
from shared.adapters.ledger.backup import exported, read, restore, table_of
from shared.domain.words import plural

app = typer.Typer(
    name="python -m ops.ledger",
    help="Take a backup of the ledger's table, and have it back: docs/runbook.md says when.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, such as ledger.jsonl.gz.")]


@app.command("export")
@command
async def export_(
    session: Session,
    file: File,
) -> int:
    """Write every row of the ledger's table to a file that does not exist yet."""
    url = _table(session)
    if file.exists():
        raise UsageError(f"{file} exists already: name another file.")
    content = await exported(url, session.wiring.credential if url.startswith("https://") else None)
    file.write_bytes(content)
    session.note(f"{file}: {plural(len(content), 'byte')}. It holds records: keep it as you keep the data.")
    return ExitCode.FINE


@app.command("restore")
@command
async def restore_(
    session: Session,
    file: File,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Write the rows of a backup into the ledger's table; stop the function app first."""
    url = _table(session)
    # All of it is read before anything is written: a damaged file changes nothing.
    try:
        with file.open("rb") as source:
            count = sum(1 for _ in read(source))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
    if not yes and not typer.confirm(
        f"Replace {plural(count, 'row')} of {url}? Is the function app stopped?", err=True
    ):
        session.note("Nothing was changed.")
        return ExitCode.FINDINGS
    credential = session.wiring.credential if url.startswith("https://") else None
    async with table_of(url, credential) as table:
        with file.open("rb") as source:
            written = await restore(table, read(source))
    session.note(f"{plural(written, 'row')} written.")
    return ExitCode.FINE


def _table(session: Session) -> str:
    url = session.wiring.settings.sync_ledger
    if url.startswith("sqlite:///"):
        raise UsageError(f"The ledger is a file, {url.removeprefix('sqlite:///')}: copy it.")
    return url


if __name__ == "__main__":
    app()
