"""What the engine relies on, held by every ledger."""

import asyncio
import random
from collections.abc import Sequence
from string import ascii_letters, digits

import pytest

from shared.domain.ledger import Entry, Stored, readable
from shared.errors import KeyNotUsable, LedgerUnreadable
from shared.flows.ports.engine import Ledger
from tests.ledger.store import Store, changed, conflict, fresh, full_entry, read

# ruff: noqa: S311  # chance, not secrets

HOSTILE = [
    *"/\\#?%'\"`&+:;,=@~!$*()[]{}<>|^ ",
    "../../x", "a/b", "a%2Fb", "a%252Fb", "O'Brien", "x' or RowKey ge '", "k.A", "i.A", "!2f", "~" + "0" * 64,
    "ñandú", "ÑANDÚ", "鍵", "🔑", "e\u0301", "\u00e9", "ß", "ss", "\u0130", "i\u0307",
    "A-1", "a-1", "A-01", "A-001", "A 1", "A-1 x", "0", "00", "000123", "123", "1e3", "true", "null", ".", "..", "-",
    "x" * 100, "鍵" * 100, "🔑" * 100, "/" * 100, "/" * 99 + "\\", "'" * 100,
]  # fmt: skip


async def write_one(ledger: Ledger, stored: Stored, entity: str = "asset") -> Stored | KeyNotUsable | None:
    return (await ledger.write(entity, [stored]))[0]


async def stored_one(ledger: Ledger, stored: Stored) -> Stored:
    result = await write_one(ledger, stored)
    assert isinstance(result, Stored)
    return result


async def read_one(ledger: Ledger, key: str) -> Stored:
    return (await read(ledger, [key]))[key]


async def scanned(ledger: Ledger, entity: str = "asset") -> list[Entry]:
    return [readable(entry) async for page in ledger.scan(entity) for entry in page]


async def test_a_key_that_is_not_there_is_answered_with_a_fresh_entry(store: Store) -> None:
    ledger = store.open()
    assert await read(ledger, ["A", "B"]) == {"A": fresh("A"), "B": fresh("B")}
    assert await read(ledger, []) == {}
    assert await ledger.keys_of("asset", ["1"]) == {}
    assert await scanned(ledger) == []


async def test_everything_in_an_entry_comes_back(store: Store) -> None:
    entry = full_entry("A-1")
    written = await stored_one(store.open(), Stored(entry=entry))
    assert written.entry == entry
    assert await read_one(store.open(), "A-1") == written
    assert await scanned(store.open()) == [entry]


async def test_an_entry_is_replaced_not_merged(store: Store) -> None:
    ledger = store.open()
    written = await stored_one(ledger, Stored(entry=full_entry("A-1")))
    await stored_one(ledger, Stored(entry=Entry(key="A-1", cmms_id="x"), etag=written.etag))
    assert (await read_one(ledger, "A-1")).entry == Entry(key="A-1", cmms_id="x")


async def test_entities_do_not_see_each_other(store: Store) -> None:
    ledger = store.open()
    await stored_one(ledger, fresh("A", "1"))
    assert isinstance(await write_one(ledger, fresh("A", "1"), "order"), Stored)
    assert await ledger.keys_of("order", ["1"]) == {"1": "A"}
    assert len(await scanned(ledger, "order")) == 1


async def test_every_business_key_is_a_record_of_its_own(store: Store) -> None:
    ledger = store.open()
    written = await ledger.write(
        "asset", [changed(fresh(key), cmms_id=f"of {number}") for number, key in enumerate(HOSTILE)]
    )
    assert all(isinstance(one, Stored) for one in written)
    found = await read(store.open(), HOSTILE)
    assert {key: stored.entry.cmms_id for key, stored in found.items()} == {
        key: f"of {number}" for number, key in enumerate(HOSTILE)
    }
    assert sorted(entry.key for entry in await scanned(ledger)) == sorted(HOSTILE)
    again = await ledger.write("asset", [changed(found[key], cmms_id="again") for key in HOSTILE])
    assert all(isinstance(one, Stored) for one in again)


async def test_every_id_is_found_as_it_was_given(store: Store) -> None:
    ledger = store.open()
    entries = [fresh(f"K{number}", hostile) for number, hostile in enumerate(HOSTILE)]
    assert all(isinstance(one, Stored) for one in await ledger.write("asset", entries))
    expected = {hostile: f"K{number}" for number, hostile in enumerate(HOSTILE)}
    assert await ledger.keys_of("asset", [*HOSTILE, "nobody", "K1"]) == expected


async def test_a_stale_etag_loses_and_changes_nothing(store: Store) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh("A"))
    second = await stored_one(ledger, changed(first, cmms_id="second"))
    assert await write_one(ledger, changed(first, cmms_id="late")) is None
    assert await read_one(ledger, "A") == second


async def test_an_insert_loses_to_an_entry_that_is_there(store: Store) -> None:
    first = await stored_one(store.open(), fresh("A"))
    assert await write_one(store.open(), changed(fresh("A"), cmms_id="late")) is None
    assert await read_one(store.open(), "A") == first


async def test_every_write_has_an_etag_of_its_own(store: Store) -> None:
    ledger = store.open()
    stored = fresh("A")
    seen: set[str | None] = {None}
    for _ in range(20):
        stored = await stored_one(ledger, stored)
        assert stored.etag not in seen
        seen.add(stored.etag)


async def test_in_one_call_losers_do_not_hold_up_the_others(store: Store) -> None:
    ledger = store.open()
    before = await ledger.write("asset", [fresh(f"A{number}", f"id{number}") for number in range(120)])
    current = [one for one in before if isinstance(one, Stored)]
    assert len(current) == 120
    stale = {3, 77, 119}
    for number in stale:
        await stored_one(ledger, changed(current[number], cmms_id="other"))
    taken = changed(fresh("thief"), dynamics_id="id5")
    results = await ledger.write("asset", [*(changed(one, cmms_id="mine") for one in current), taken])
    assert isinstance(results[120], KeyNotUsable)
    assert {number for number, one in enumerate(results) if one is None} == stale
    found = await read(ledger, [f"A{number}" for number in range(120)])
    assert {stored.entry.cmms_id for number, stored in enumerate(found.values()) if number in stale} == {"other"}
    assert {stored.entry.cmms_id for number, stored in enumerate(found.values()) if number not in stale} == {"mine"}


async def test_the_same_key_twice_in_one_call_is_stored_once(store: Store) -> None:
    ledger = store.open()
    results = await ledger.write("asset", [fresh("A"), changed(fresh("A"), cmms_id="second")])
    assert isinstance(results[0], Stored)
    assert results[1] is None
    assert await read_one(ledger, "A") == results[0]


@pytest.mark.parametrize("first", [True, False], ids=["insert", "update"])
async def test_of_two_writers_from_the_same_etag_exactly_one_wins(store: Store, first: bool) -> None:
    workers = [store.open() for _ in range(4)]
    keys = [f"A{number}" for number in range(8)]
    if not first:
        await workers[0].write("asset", [fresh(key) for key in keys])

    async def work(worker: Ledger, name: str) -> Sequence[object]:
        found = await read(worker, keys)
        await asyncio.sleep(0)
        return await worker.write("asset", [changed(found[key], cmms_id=name) for key in keys])

    async def single(worker: Ledger, name: str) -> Sequence[object]:
        found = await read(worker, keys)
        order = random.Random(name).sample(keys, len(keys))
        done = {key: await write_one(worker, changed(found[key], cmms_id=name)) for key in order}
        return [done[key] for key in keys]

    results = await asyncio.gather(
        work(workers[0], "w0"), work(workers[1], "w1"), single(workers[2], "w2"), single(workers[3], "w3")
    )
    found = await read(workers[0], keys)
    for number, key in enumerate(keys):
        winners = [f"w{worker}" for worker, result in enumerate(results) if isinstance(result[number], Stored)]
        # A worker that read after another's write may win after it; the entry is always that of the last winner.
        assert found[key].entry.cmms_id in winners
        etags = [result[number].etag for result in results if isinstance(result[number], Stored)]  # type: ignore[attr-defined]
        assert len(etags) == len(set(etags))
        assert found[key].etag in etags


async def test_of_two_writers_that_have_read_the_same_state_one_loses(store: Store) -> None:
    one, other = store.open(), store.open()
    await one.write("asset", [fresh(f"B{number}") for number in range(10)])
    keys = [f"{letter}{number}" for letter in "AB" for number in range(10)]
    reads = await read(one, keys)
    results = await asyncio.gather(
        *(worker.write("asset", [changed(reads[key], cmms_id=name) for key in keys])
          for worker, name in ((one, "one"), (other, "other")))
    )  # fmt: skip
    found = await read(one, keys)
    for number, key in enumerate(keys):
        winners = [name for name, result in zip(("one", "other"), results, strict=True) if result[number] is not None]
        assert winners == [found[key].entry.cmms_id]


async def test_an_id_binds_one_key(store: Store) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh("A", "1"))
    refused = await write_one(ledger, fresh("B", "1"))
    assert isinstance(refused, KeyNotUsable)
    assert "1" in refused.message
    assert await read_one(ledger, "B") == fresh("B")
    assert await ledger.keys_of("asset", ["1"]) == {"1": "A"}
    other = await stored_one(ledger, fresh("B"))
    assert isinstance(await write_one(ledger, changed(other, dynamics_id="1")), KeyNotUsable)
    assert await read_one(ledger, "B") == other
    assert await read_one(ledger, "A") == first


async def test_an_id_that_was_let_go_may_be_bound_again(store: Store) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh("A", "1"))
    first = await stored_one(ledger, changed(first, dynamics_id="2"))
    assert await ledger.keys_of("asset", ["1", "2"]) == {"2": "A"}
    await stored_one(ledger, fresh("B", "1"))
    await stored_one(ledger, changed(first, dynamics_id=None))
    assert await ledger.keys_of("asset", ["1", "2"]) == {"1": "B"}


async def test_an_id_can_pass_from_one_entry_to_the_next_in_one_call(store: Store) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh("A", "1"))
    results = await ledger.write("asset", [changed(first, dynamics_id="2"), fresh("B", "1")])
    assert all(isinstance(one, Stored) for one in results)
    assert await ledger.keys_of("asset", ["1", "2"]) == {"1": "B", "2": "A"}


async def test_of_two_keys_that_claim_one_id_exactly_one_wins(store: Store) -> None:
    workers = [store.open() for _ in range(2)]
    for number in range(4):
        results = await asyncio.gather(
            *(write_one(worker, fresh(f"{letter}{number}", f"id{number}"))
              for worker, letter in zip(workers, "AB", strict=True))
        )  # fmt: skip
        assert sorted(type(one).__name__ for one in results) == ["KeyNotUsable", "Stored"]
        winner = next(one.entry.key for one in results if isinstance(one, Stored))
        assert await workers[0].keys_of("asset", [f"id{number}"]) == {f"id{number}": winner}


async def test_a_move_stores_both_entries(store: Store) -> None:
    ledger = store.open()
    old = await stored_one(ledger, changed(fresh("A", "1"), cmms_id="kept"))
    new = changed(fresh("B", "1"), cmms_id="kept", renamed_from="A")
    assert await ledger.move("asset", changed(old, dynamics_id=None, cmms_id=None, moved_to="B"), new)
    found = await read(ledger, ["A", "B"])
    assert found["A"].entry == Entry(key="A", moved_to="B")
    assert found["B"].entry == new.entry
    assert await ledger.keys_of("asset", ["1"]) == {"1": "B"}
    assert isinstance(await write_one(ledger, changed(found["B"], cmms_id="later")), Stored)
    assert isinstance(await write_one(ledger, changed(found["A"], cmms_id="later")), Stored)


@pytest.mark.parametrize("stale", ["old", "new", "id"])
async def test_a_move_that_cannot_be_whole_does_nothing(store: Store, stale: str) -> None:
    ledger = store.open()
    old, new = await stored_one(ledger, fresh("A", "1")), await stored_one(ledger, fresh("B"))
    await stored_one(ledger, fresh("C", "2"))
    if stale in {"old", "new"}:
        await stored_one(ledger, changed(old if stale == "old" else new, cmms_id="faster"))
    before = await scanned(ledger)
    moved = changed(new, dynamics_id="2" if stale == "id" else "1", renamed_from="A")
    assert not await ledger.move("asset", changed(old, dynamics_id=None, moved_to="B"), moved)
    assert await scanned(ledger) == before
    assert await ledger.keys_of("asset", ["1", "2"]) == {"1": "A", "2": "C"}


async def test_of_two_moves_to_different_keys_one_wins(store: Store) -> None:
    workers = [store.open() for _ in range(2)]
    old = await stored_one(workers[0], fresh("A", "1"))
    results = await asyncio.gather(
        *(worker.move("asset", changed(old, dynamics_id=None, moved_to=key), fresh(key, "1"))
          for worker, key in zip(workers, "BC", strict=True))
    )  # fmt: skip
    assert sorted(results) == [False, True]
    winner = "BC"[results.index(True)]
    assert await workers[0].keys_of("asset", ["1"]) == {"1": winner}
    assert [entry.key for entry in await scanned(workers[0])] == ["A", winner]


async def test_a_scan_gives_every_entry_once_in_the_same_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.ledger.table.PAGE", 40)
    monkeypatch.setattr("shared.adapters.ledger.sqlite.PAGE", 40)
    ledger = store.open()
    keys = [f"A-{number:04}" for number in range(100)]
    await ledger.write("asset", [fresh(key, f"id {key}") for key in random.Random(7).sample(keys, len(keys))])
    pages = [page async for page in ledger.scan("asset")]
    assert [len(page) for page in pages] == [40, 40, 20]
    assert [entry.key for page in pages for entry in page] == keys
    assert [entry.key for entry in await scanned(ledger)] == keys


@pytest.mark.parametrize(
    ("size", "noise"), [(20_000, "wide"), (70_000, "random"), (1_000_000, "plain"), (1_000_000, "random")]
)
async def test_a_large_entry_comes_back(store: Store, size: int, noise: str) -> None:
    chance = random.Random(size)
    text = {
        "plain": lambda: "x" * size,
        "random": lambda: "".join(chance.choices(ascii_letters + digits, k=size)),
        "wide": lambda: "".join(chance.choices('鍵🔑ñß\u2028"\\', k=size // 5)),
    }[noise]()  # fmt: skip
    ledger = store.open()
    written = await stored_one(ledger, Stored(entry=Entry(key="A", cmms_id=text)))
    assert await read_one(ledger, "A") == written
    shorter = await stored_one(ledger, changed(written, cmms_id="short"))
    assert await read_one(ledger, "A") == shorter


async def test_a_history_of_conflicts_grows_without_loss(store: Store) -> None:
    ledger = store.open()
    stored = await stored_one(ledger, fresh("A", "1"))
    expected: tuple[object, ...] = ()
    for start in range(0, 300, 100):
        more = tuple(conflict(number, 2000) for number in range(start, start + 100))
        stored = await stored_one(ledger, changed(stored, conflicts=stored.entry.conflicts + more))
        expected += more
        assert (await read_one(store.open(), "A")).entry.conflicts == expected
    assert [entry.conflicts for entry in await scanned(ledger)] == [expected]
    moved = changed(fresh("B", "1"), conflicts=stored.entry.conflicts)
    assert await ledger.move("asset", changed(stored, dynamics_id=None, conflicts=(), moved_to="B"), moved)
    assert (await read_one(ledger, "B")).entry.conflicts == expected
    assert (await read_one(ledger, "A")).entry.conflicts == ()


async def test_a_batch_of_large_entries_is_stored(store: Store) -> None:
    ledger = store.open()
    chance = random.Random(1)
    entries = [Stored(entry=Entry(key=f"A{number}", cmms_id=chance.randbytes(150_000).hex())) for number in range(12)]
    assert all(isinstance(one, Stored) for one in await ledger.write("asset", entries))
    found = await read(ledger, [one.entry.key for one in entries])
    assert [found[one.entry.key].entry for one in entries] == [one.entry for one in entries]


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        "[]",
        '{"key":1}',
        '{"key":"Z"}',
        '{"key":"B","intents":[{"side":"of a later version"}]}',
    ],
)
async def test_a_row_that_cannot_be_read_is_answered_for_its_own_key_alone(store: Store, body: str) -> None:
    ledger = store.open()
    a, _, c = [await stored_one(ledger, fresh(key, f"id of {key}")) for key in "ABC"]
    await store.spoil("B", body)
    found = await ledger.read("asset", ["A", "B", "C", "D"])
    error = found["B"]
    assert isinstance(error, LedgerUnreadable)
    assert error.key == "B"
    assert "asset B" in error.message
    assert "delete it" in error.message
    assert {key: one for key, one in found.items() if key != "B"} == {"A": a, "C": c, "D": fresh("D")}
    pages = [one async for page in ledger.scan("asset") for one in page]
    assert [one.key for one in pages] == ["A", "B", "C"]
    assert isinstance(pages[1], LedgerUnreadable)
    bodies = dict([pair async for page in ledger.bodies("asset") for pair in page])
    assert bodies == {"A": a.entry.model_dump_json(exclude_defaults=True), "B": body} | {
        "C": c.entry.model_dump_json(exclude_defaults=True)
    }
    assert await ledger.keys_of("asset", ["id of B"]) == {"id of B": "B"}
