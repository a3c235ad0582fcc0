"""The small texts beside the ledger, held to one contract by both stores."""

import json
from typing import Protocol

import pytest

from shared.domain.ledger import Entry
from shared.flows.ports.engine import Ledger, State
from tests.ledger.store import Store, fresh


class Both(Ledger, State, Protocol):
    """What both stores are."""


def opened(store: Store) -> Both:
    found = store.open()
    assert hasattr(found, "put_state")
    return found  # type: ignore[return-value]  # asserted one line above


async def test_a_text_comes_back_to_any_worker_until_it_is_replaced_or_removed(store: Store) -> None:
    one, other = opened(store), opened(store)
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
    state = opened(store)
    await state.put_state({"pending": "x" * 30_000})
    assert await state.get_state(["pending"]) == {"pending": "x" * 30_000}


async def test_texts_and_entries_do_not_see_each_other(store: Store) -> None:
    ledger = opened(store)
    await ledger.put_state({"A-1": "text"})
    await ledger.write("asset", [fresh("A-1", "id-1")])
    assert await ledger.get_state(["A-1"]) == {"A-1": "text"}
    assert [entry.key async for page in ledger.scan("asset") for entry in page] == ["A-1"]


@pytest.mark.parametrize("count", [0, 1, 30])
async def test_bodies_give_every_entry_once_as_its_json(store: Store, count: int) -> None:
    ledger = opened(store)
    await ledger.write("asset", [fresh(f"A-{number:02}", f"id-{number}") for number in range(count)])
    await ledger.write("order", [fresh("O-1")])
    bodies = [body async for page in ledger.bodies("asset") for _, body in page]
    assert [Entry.model_validate_json(body).key for body in bodies] == [f"A-{number:02}" for number in range(count)]
    assert all(json.loads(body)["dynamics_id"].startswith("id-") for body in bodies)
