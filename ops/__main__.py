"""`python -m ops`, and the script `energy-sync`: what the administrator of Dynamics and the person on call need."""

import signal
import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = "energy-sync"


def main() -> None:
    """Run the command line."""
    # Before the imports, which take a second: Ctrl-C then ends the command without a trace. Session.run takes over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ops.app import app  # noqa: PLC0415  # see above

    app(prog_name=SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m ops")


if __name__ == "__main__":
    main()
