"""`python -m local.emulators.dataverse`: run the Dataverse emulator on one loopback port until it is told to stop."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from local.emulators.dataverse.config import DataverseConfig
from local.emulators.dataverse.webhooks import WebhookSender
from local.emulators.dataverse.wire.app import create_app
from local.emulators.dataverse.wire.connections import Connections
from local.serve import run


def main(
    config: Annotated[Path, typer.Option(help="JSON file: signing key, audience, users, webhooks")],
    port: Annotated[int, typer.Option(help="0 picks a free port; the ready line names it")] = 0,
    exit_with_stdin: Annotated[bool, typer.Option("--exit-with-stdin", help="stop when stdin ends")] = False,
) -> None:
    """Serve the Dataverse Web API at http://127.0.0.1:PORT/api/data/v9.2/ with its state in memory."""
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
    run(app, port=port, name="dataverse", exit_with_stdin=exit_with_stdin, http=connections.protocol())


if __name__ == "__main__":
    typer.run(main)
