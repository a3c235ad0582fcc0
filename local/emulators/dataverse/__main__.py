"""`python -m local.emulators.dataverse`: run the Dataverse emulator on one loopback port until it is told to stop."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from starlette.types import ASGIApp

from local.emulators.dataverse import __version__
from local.emulators.dataverse.config import DataverseConfig
from local.emulators.dataverse.state_file import Keeping, StateFile
from local.emulators.dataverse.webhooks import WebhookSender
from local.emulators.dataverse.wire.app import create_app
from local.emulators.dataverse.wire.connections import Connections
from local.emulators.serving import run


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dataverse emulator {__version__}")
        raise typer.Exit


def main(  # noqa: PLR0917 - each is an option of the command line
    config: Annotated[Path, typer.Option(help="JSON file: signing key, audience, users, webhooks")],
    port: Annotated[int, typer.Option(help="0 picks a free port; the ready line names it")] = 0,
    state: Annotated[Path | None, typer.Option(help="a file that keeps the organization; without it, memory")] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="serve HTTPS with this PEM file, which is made if it is not there")
    ] = None,
    exit_with_stdin: Annotated[bool, typer.Option("--exit-with-stdin", help="stop when stdin ends")] = False,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", is_eager=True, callback=_version, help="say the version")
    ] = False,
) -> None:
    """Serve the Dataverse Web API at http://127.0.0.1:PORT/api/data/v9.2/."""
    try:
        settings = DataverseConfig.model_validate_json(config.read_bytes())
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)
        )
        typer.echo(f"The configuration {config} is not usable: {problems}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"The configuration {config} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    dataverse = settings.dataverse()
    connections = Connections()
    app = create_app(
        dataverse,
        signing_key=settings.signing_key.get_secret_value(),
        audiences=[settings.audience],
        webhooks=WebhookSender(dataverse, [one.webhook() for one in settings.webhooks]),
        connections=connections,
    )
    served: ASGIApp = app
    try:
        if state is not None:
            served = Keeping(app, StateFile(state, dataverse))
        run(
            served,
            port=port,
            name="dataverse",
            exit_with_stdin=exit_with_stdin,
            http=connections.protocol(),
            certificate=certificate,
        )
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def cli() -> None:
    """Run the command line."""
    typer.run(main)


if __name__ == "__main__":
    cli()
