"""`python -m local.emulators.identity`: run the identity emulator on one loopback port until it is told to stop."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from local.emulators.identity import __version__
from local.emulators.identity.app import create_app
from local.emulators.identity.config import Application, IdentityConfig, ManagedIdentity
from local.emulators.serving import run


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"identity emulator {__version__}")
        raise typer.Exit


def main(  # noqa: PLR0917 - each is one command line option
    port: Annotated[int, typer.Option(help="0 picks a free port; the ready line names it")] = 0,
    config: Annotated[Path | None, typer.Option(help="JSON file; the other options are then ignored")] = None,
    signing_key: Annotated[str, typer.Option(help="at least 32 characters, shared with the Dataverse emulator")] = "",
    identity_header: Annotated[str, typer.Option(help="the value of IDENTITY_HEADER")] = "",
    client_id: Annotated[str, typer.Option(help="client id of the managed identity")] = "",
    client_secret: Annotated[str, typer.Option(help="lets the same client id sign in with a secret")] = "",
    lifetime_seconds: Annotated[int, typer.Option(help="how long a token lives")] = 3600,
    exit_with_stdin: Annotated[bool, typer.Option("--exit-with-stdin", help="stop when stdin ends")] = False,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", is_eager=True, callback=_version, help="say the version")
    ] = False,
) -> None:
    """Serve the App Service managed identity endpoint and the OAuth token endpoint on 127.0.0.1."""
    try:
        if config is not None:
            settings = IdentityConfig.model_validate_json(config.read_bytes())
        else:
            settings = IdentityConfig.model_validate(
                {
                    "signing_key": signing_key,
                    "identity_header": identity_header,
                    "lifetime_seconds": lifetime_seconds,
                    "managed_identities": (ManagedIdentity(client_id=client_id),) if client_id else (),
                    "applications": (
                        Application.model_validate({"client_id": client_id, "client_secret": client_secret}),
                    )
                    if client_id and client_secret
                    else (),
                }
            )
    except (OSError, ValidationError) as error:
        where = config or "the command line"
        problems = (
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
            if isinstance(error, ValidationError)
            else str(error)
        )
        typer.echo(f"The identity emulator's configuration in {where} is not usable: {problems}", err=True)
        raise typer.Exit(2) from None
    run(create_app(settings), port=port, name="identity", exit_with_stdin=exit_with_stdin)


def cli() -> None:
    """Run the command line."""
    typer.run(main)


if __name__ == "__main__":
    cli()
