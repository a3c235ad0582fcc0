"""The engine in many worlds: whatever goes wrong, everything ends applied, found true, or parked with a reason."""

from tests.simulation.many import play_many

SEEDS = 30


def test_no_seed_ends_in_a_violation() -> None:
    failed = {seed: violations for seed, violations in play_many(range(SEEDS)) if violations}
    shown = "\n".join(f"seed {seed}: {'; '.join(found[:3])}" for seed, found in sorted(failed.items()))
    assert not failed, f"{shown}\nReplay one with its trace: python -m tests.simulation --seed N"
