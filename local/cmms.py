"""The demo CMMS: migrates its database and serves it. Its relay is a process of its own."""

import argparse
from typing import cast

import django
from django.core.management import call_command
from starlette.types import ASGIApp

from local.emulators.serving import run
from local.hurting import Hurting


def main() -> None:
    """Serve until told to stop; the environment is that of the demo project."""
    parser = argparse.ArgumentParser(prog="python -m local.cmms", description="The demo CMMS.")
    parser.add_argument("--port", type=int, default=7073, help="0 picks a free port; the ready line names it")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends")
    options = parser.parse_args()
    django.setup()
    call_command("migrate", verbosity=0)
    from django.core.asgi import get_asgi_application  # noqa: PLC0415  # after setup

    served = Hurting(cast("ASGIApp", get_asgi_application()))
    run(served, port=options.port, name="cmms", exit_with_stdin=options.exit_with_stdin)


if __name__ == "__main__":
    main()
