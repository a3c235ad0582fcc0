"""Every ledger against the contract as a dictionary: by chance, with killed connections, and with workers at once."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.ledger import AzureTableLedger, SqliteLedger
from shared.adapters.ledger.rows import claims, is_pointer
from shared.domain.link import Stored
from shared.flows.ports.engine import Ledger
from tests.ledger.model import CHOICES, EVERYBODY, Model, Step
from tests.ledger.proxy import Fault, proxy
from tests.ledger.store import find, hash_of, hashed, scanned

# ruff: noqa: S311  # chance, not secrets

NAMES = (f"e{number}" for number in count())
ROUGH = 0.15
STEPS = st.builds(Step, st.none() | st.integers(0, 7), st.sampled_from(CHOICES))
HISTORIES = st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=1, max_size=8)


@pytest.fixture
async def rough_way(table_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A way to a table on which connections are killed, before or after the service's work; never two in a row."""
    # So patient that no write is given up: its outcome would be unknown.
    for name, value in (("_BLIND_ATTEMPTS", 8), ("_ATTEMPTS", 16), ("_PAUSE", 0.0)):
        monkeypatch.setattr(f"shared.adapters.ledger.table.{name}", value)
    chance = Random(1)
    rough = [False]

    def killed(_: object) -> bool:
        rough[0] = not rough[0] and chance.random() < ROUGH
        return rough[0]

    async with proxy(table_url) as way:
        way.when = killed
        way.faults = [Fault(unseen=chance.random() < 0.5) for _ in range(10_000)]
        yield way.url


async def assert_holds(ledger: Ledger, entity: str, model: Model) -> None:
    """The ledger tells the same as the model, in each way that it can be asked."""
    assert await find(ledger, *EVERYBODY, entity=entity) == model.found
    links = sorted(model.links.values(), key=str)
    assert sorted(await scanned(ledger, entity), key=str) == links
    assert sorted(await hashed(ledger, entity), key=str) == sorted(map(hash_of, links), key=str)
    if isinstance(ledger, AzureTableLedger):
        await assert_no_row_is_left_over(ledger, entity)


async def assert_no_row_is_left_over(ledger: AzureTableLedger, entity: str) -> None:
    """Each row is a link's own, or points to a link's own row that claims it."""
    rows = {row["RowKey"]: row async for page in ledger._table.pages(f"PartitionKey eq '{entity}'") for row in page}
    for name, row in rows.items():
        owner = rows[row["to"]] if is_pointer(row) else row
        assert not is_pointer(owner)
        assert claims(owner, name), f"{name} is left over"


async def try_history(ledger: Ledger, calls: list[list[Step]]) -> None:
    """Make each call, and hold its results and at last the ledger against the model."""
    entity, model = next(NAMES), Model()
    held: list[Stored] = []
    for number, steps in enumerate(calls):
        links = [step.link(held, f"{number}.{each}") for each, step in enumerate(steps)]
        results = await ledger.write(entity, links)
        model.write(links, results)
        held += [one for one in results if isinstance(one, Stored)]
    await assert_holds(ledger, entity, model)


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
async def test_any_history_in_a_file_ends_as_the_contract_says(calls: list[list[Step]]) -> None:
    ledger = SqliteLedger(":memory:")
    await try_history(ledger, calls)
    ledger.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=HISTORIES)
async def test_any_history_in_a_table_with_killed_connections_ends_as_the_contract_says(
    rough_way: str, calls: list[list[Step]]
) -> None:
    ledger = AzureTableLedger(rough_way, retry_backoff_factor=0.001)
    await try_history(ledger, calls)
    await ledger.close()


@pytest.mark.parametrize("rough", [False, True], ids=["smooth", "rough"])
async def test_workers_at_once_agree_on_one_history(rough_way: str, table_url: str, rough: bool) -> None:
    entity = next(NAMES)
    made: dict[str, Stored] = {}
    spent: list[str] = []
    ledgers = [AzureTableLedger(rough_way if rough else table_url, retry_backoff_factor=0.001) for _ in range(3)]

    async def work(worker: int) -> None:
        chance, ledger = Random(worker), ledgers[worker]
        for step in range(10):
            read = list((await find(ledger, *chance.sample(EVERYBODY, 3), entity=entity)).values())
            steps = [Step(chance.choice([None, 0, 1]), chance.choice(CHOICES)) for _ in range(chance.randint(1, 3))]
            links = [one.link(read, f"{worker}.{step}.{number}") for number, one in enumerate(steps)]
            await asyncio.sleep(0)
            for stored, result in zip(links, await ledger.write(entity, links), strict=True):
                if isinstance(result, Stored):
                    assert result.etag is not None
                    assert result.link == stored.link
                    made[result.etag] = result
                    spent.extend([stored.etag] if stored.etag is not None else [])

    await asyncio.gather(*map(work, range(3)))
    assert len(spent) == len(set(spent)), "two writes won from one etag"
    held = await find(ledgers[0], *EVERYBODY, entity=entity)
    live = {stored.etag or "": stored for stored in held.values()}
    # A write that landed, was overtaken and lost its answer counts as lost: its etag is spent, and nobody was told it.
    assert live.items() <= {etag: one for etag, one in made.items() if etag not in spent}.items()
    assert live
    await assert_holds(ledgers[0], entity, Model({etag: stored.link for etag, stored in live.items()}))
    for ledger in ledgers:
        await ledger.close()
