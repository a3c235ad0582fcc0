"""Whether a run of the local stack is still under way: the stack keeps its folder, and the command line finds it."""

import os
from pathlib import Path


def alive(folder: Path) -> bool:
    """Whether the process that made the folder lives. One of another run with its number keeps it for longer."""
    try:
        os.kill(int((folder / "pid").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True
