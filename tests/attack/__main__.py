"""Attack the running stack: `python -m tests.attack`, or `python -m tests.attack cmms --seed 3`."""

import argparse
import sys

from tests.attack.plays import PLAYS, run

_SHOWN = 25


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play; the exit code is 1 when something was found wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("plays", nargs="*", choices=[*PLAYS, []], help="which of the attacks; all without a name")
    parser.add_argument("--seed", type=int, default=1, help="what the people do")
    parser.add_argument("--records", type=int, default=240, help="how many records there are at the beginning")
    parser.add_argument("--rate", type=float, default=6.0, help="edits a second of each side's people, about")
    given = parser.parse_args()
    failed = 0
    for name in given.plays or PLAYS:
        _say(f"{name} ...")
        found = run(name, _say, seed=given.seed, records=given.records, rate=given.rate)
        failed += bool(found.faults)
        for fault in found.faults[:_SHOWN]:
            _say(f"  FAULT {fault}")
        figures = ", ".join(f"{key} {value}" for key, value in found.figures.items())
        _say(f"{name}: {len(found.faults)} faults; {figures}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
