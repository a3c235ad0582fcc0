"""The small texts beside the ledger, held to one contract by both stores."""

import asyncio

from tests.ledger.store import Store, cmms, fresh, scanned


async def test_a_text_comes_back_to_any_worker_until_it_is_replaced_or_removed(store: Store) -> None:
    one, other = store.open(), store.open()
    assert await other.get_state(["delta/asset"]) == {}
    await one.put_state({"delta/asset": "https://x/?$deltatoken=1", "mark ñ #'": "é🙂"})
    assert await other.get_state(["delta/asset", "mark ñ #'", "none"]) == {
        "delta/asset": "https://x/?$deltatoken=1",
        "mark ñ #'": "é🙂",
    }
    await other.put_state({"delta/asset": "2", "mark ñ #'": None, "none": None})
    assert await one.get_state(["delta/asset", "mark ñ #'", "none"]) == {"delta/asset": "2"}
    assert await one.get_state([]) == {}


async def test_a_text_is_stored_in_the_place_of_the_one_that_was_read_and_of_no_other(store: Store) -> None:
    one, other = store.open(), store.open()
    assert not await one.swap_state("seen", "1", "2")
    assert await one.swap_state("seen", None, "1")
    assert not await other.swap_state("seen", None, "2")
    assert await one.get_state(["seen"]) == {"seen": "1"}
    assert await other.swap_state("seen", "1", "2")
    assert not await one.swap_state("seen", "1", "3")
    await one.put_state({"seen": None})
    assert not await other.swap_state("seen", "2", "3")
    assert await one.get_state(["seen"]) == {}


async def test_one_of_many_that_store_a_text_at_once_stores_it(store: Store) -> None:
    workers = [store.open() for _ in range(5)]
    swapped = await asyncio.gather(*(one.swap_state("seen", None, str(n)) for n, one in enumerate(workers)))
    assert swapped.count(True) == 1
    assert await workers[0].get_state(["seen"]) == {"seen": str(swapped.index(True))}


async def test_a_text_of_the_longest_length_is_held(store: Store) -> None:
    state = store.open()
    await state.put_state({"pending": "x" * 30_000})
    assert await state.get_state(["pending"]) == {"pending": "x" * 30_000}


async def test_texts_and_links_do_not_see_each_other(store: Store) -> None:
    ledger = store.open()
    await ledger.put_state({"A-1": "text", "c.A-1": "text"})
    await ledger.write("asset", [fresh(cmms("A-1"))])
    assert await ledger.get_state(["A-1"]) == {"A-1": "text"}
    assert [link.cmms_id for link in await scanned(ledger)] == ["A-1"]
