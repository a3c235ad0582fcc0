"""Replay a seed, or soak many: `python -m tests.simulation --seed 7`, `python -m tests.simulation --seeds 20000`."""

import argparse
import sys
import time

from tests.simulation.first_sync import FIRST_SYNC
from tests.simulation.many import play_many
from tests.simulation.references import REFERENCES
from tests.simulation.upheavals import CURRENCIES, KINDS, combined
from tests.simulation.world import play


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run; the exit code is 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--seeds", type=int, default=500, help="how many to play")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--digest", action="store_true", help="with --seed: print only the hash of the trace")
    parser.add_argument("--one-way", action="store_true", help="without the CMMS's API: its messages say everything")
    parser.add_argument(
        "--play",
        action="append",
        choices=(*KINDS, CURRENCIES, REFERENCES, FIRST_SYNC),
        help="play this upheaval instead of the drawn ones",
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="let two or three upheavals befall each run, at least one restore among them",
    )
    given = parser.parse_args()
    if given.seed is not None:
        plays = combined(given.seed, one_way=given.one_way) if given.together else given.play
        result = play(given.seed, one_way=given.one_way, upheavals=plays)
        if given.digest:
            _say(result.trace.digest)
        else:
            _say("\n".join([*result.trace.lines, "", *result.links, "", *result.violations]))
            _say(f"seed {given.seed}: {'FAILED' if result.violations else 'passed'}, {result.sent} messages")
        return 1 if result.violations else 0
    started = time.monotonic()
    failed = 0
    seeds = range(given.first, given.first + given.seeds)
    for seed, violations in play_many(seeds, one_way=given.one_way, upheavals=given.play, together=given.together):
        if violations:
            failed += 1
            _say(f"seed {seed} FAILED: {violations[0]}")
    _say(f"{given.seeds} seeds from {given.first} on, {failed} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
