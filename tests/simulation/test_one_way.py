"""The engine without the CMMS's API, in the same troubles: each field ends at its newest version."""

from tests.simulation.many import play_many

SEEDS = 8


def test_no_one_way_seed_ends_in_a_violation() -> None:
    failed = {seed: found for seed, found in play_many(range(SEEDS), one_way=True) if found}
    shown = "\n".join(f"seed {seed}: {'; '.join(found[:3])}" for seed, found in sorted(failed.items()))
    assert not failed, f"{shown}\nReplay one with its trace: python -m tests.simulation --one-way --seed N"
