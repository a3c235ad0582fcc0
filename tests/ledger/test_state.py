"""The small texts beside the ledger, held to one contract by both stores."""

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
