"""What the engine relies on, held by every ledger."""

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import product
from string import ascii_letters, digits

import pytest

from shared.domain.base import Base
from shared.domain.link import Identity, Link, Stored
from shared.errors import LedgerUnreadable
from shared.flows.ports.engine import Ledger
from tests.ledger.store import (
    NOW,
    Store,
    by_key,
    changed,
    cmms,
    conflict,
    filled,
    find,
    fresh,
    full_link,
    hash_of,
    hashed,
    keys,
    row,
    scanned,
    stored_one,
    with_identities,
    write_one,
)

# ruff: noqa: S311  # chance, not secrets

KINDS = pytest.mark.parametrize("named", [cmms, row, by_key])
HOSTILE = [
    *"/\\#?%'\"`&+:;,=@~!$*()[]{}<>|^ ",
    "../../x", "a/b", "a%2Fb", "a%252Fb", "O'Brien", "x' or RowKey ge '", "c.A", "r.A", "k.A", "!2f", "~" + "0" * 64,
    "ñandú", "ÑANDÚ", "鍵", "🔑", "e\u0301", "\u00e9", "ß", "ss", "\u0130", "i\u0307",
    "A-1", "a-1", "A-01", "A-001", "A 1", "A-1 x", "0", "00", "000123", "123", "1e3", "true", "null", ".", "..", "-",
    "x" * 100, "鍵" * 100, "🔑" * 100, "/" * 100, "/" * 99 + "\\", "'" * 100, "x" * 5000,
]  # fmt: skip


async def test_an_identity_that_no_link_has_is_left_out(store: Store) -> None:
    ledger = store.open()
    assert await ledger.find("asset", [cmms("1"), row("1"), by_key("1")]) == {}
    stored = await stored_one(ledger, fresh(cmms("1"), row("1"), key="1"))
    assert await find(ledger, cmms("1"), cmms("2"), by_key("1"), row("1")) == {cmms("1"): stored, row("1"): stored}
    assert await ledger.find("asset", []) == {}


async def test_an_empty_ledger_has_nothing_to_scan(store: Store) -> None:
    assert await scanned(store.open()) == []
    assert await hashed(store.open()) == []


async def test_everything_in_a_link_comes_back_by_each_of_its_identities(store: Store) -> None:
    link = full_link()
    written = await stored_one(store.open(), Stored(link=link))
    assert written.link == link
    assert await find(store.open(), *link.identities) == dict.fromkeys(link.identities, written)
    assert await scanned(store.open()) == [link]
    assert await hashed(store.open()) == [hash_of(link)]


async def test_a_link_is_replaced_not_merged(store: Store) -> None:
    ledger = store.open()
    written = await stored_one(ledger, Stored(link=full_link()))
    await stored_one(ledger, Stored(link=Link(cmms_id="4711"), etag=written.etag))
    assert await scanned(ledger) == [Link(cmms_id="4711")]
    assert await hashed(ledger) == [hash_of(Link(cmms_id="4711"))]
    assert list(await find(ledger, *full_link().identities)) == [cmms("4711")]


async def test_entities_do_not_see_each_other(store: Store) -> None:
    ledger = store.open()
    await stored_one(ledger, fresh(cmms("1"), row("1"), key="asset"))
    assert isinstance(await write_one(ledger, fresh(row("1"), key="order"), "order"), Stored)
    assert await keys(ledger, cmms("1"), row("1"), entity="order") == {row("1"): "order"}
    assert len(await scanned(ledger, "order")) == 1
    assert len(await hashed(ledger, "order")) == 1


@KINDS
async def test_every_identity_is_found_as_it_was_given(store: Store, named: Callable[[str], Identity]) -> None:
    ledger = store.open()
    given = [named(hostile) for hostile in HOSTILE]
    links = [fresh(identity, key=f"of {number}") for number, identity in enumerate(given)]
    written = [one for one in await ledger.write("asset", links) if isinstance(one, Stored)]
    assert len(written) == len(given)
    assert await find(store.open(), *given) == dict(zip(given, written, strict=True))
    assert sorted(link.identities for link in await scanned(ledger)) == sorted((identity,) for identity in given)
    again = await ledger.write("asset", [changed(one, last_sync=NOW) for one in written])
    assert all(isinstance(one, Stored) for one in again)


async def test_a_pointer_leads_from_every_identity_to_its_link(store: Store) -> None:
    ledger = store.open()
    links = [fresh(cmms(hostile), row(f"row of {hostile}")) for hostile in HOSTILE]
    written = [one for one in await ledger.write("asset", links) if isinstance(one, Stored)]
    rows = [row(f"row of {hostile}") for hostile in HOSTILE]
    assert await find(ledger, *rows) == dict(zip(rows, written, strict=True))


async def test_a_stale_etag_loses_and_changes_nothing(store: Store) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh(cmms("1")))
    second = await stored_one(ledger, changed(first, key="second"))
    assert await write_one(ledger, changed(first, key="late")) is None
    assert await write_one(ledger, with_identities(first, cmms("2"), row("2"))) is None
    assert await find(ledger, cmms("1"), cmms("2"), row("2")) == {cmms("1"): second}


@pytest.mark.parametrize("shared", [cmms("1"), row("1"), by_key("1")])
async def test_a_new_link_loses_to_one_that_has_any_of_its_identities(store: Store, shared: Identity) -> None:
    ledger = store.open()
    first = await stored_one(ledger, fresh(shared))
    for other in (cmms("2"), row("2"), by_key("2")):
        if other.kind != shared.kind:
            assert await write_one(store.open(), fresh(shared, other)) is None
            assert await find(ledger, shared, other) == {shared: first}
    assert await write_one(store.open(), fresh(shared, key="late")) is None
    assert await scanned(ledger) == [first.link]


@KINDS
async def test_an_identity_belongs_to_one_link(store: Store, named: Callable[[str], Identity]) -> None:
    ledger = store.open()
    holder = await stored_one(ledger, fresh(cmms("1"), row("1"), by_key("1")))
    other = await stored_one(ledger, fresh(cmms("2"), row("2"), by_key("2")))
    kept = [identity for identity in other.link.identities if identity.kind != named("").kind]
    assert await write_one(ledger, with_identities(other, named("1"), *kept)) is None
    assert await write_one(ledger, with_identities(other, named("1"))) is None
    everybody = (*holder.link.identities, *other.link.identities)
    assert await find(ledger, *everybody) == {
        **dict.fromkeys(holder.link.identities, holder),
        **dict.fromkeys(other.link.identities, other),
    }
    assert isinstance(await write_one(ledger, changed(other, last_sync=NOW)), Stored)


async def test_any_change_of_identities_is_whole(store: Store) -> None:
    """Every step from some identities to others, each on a link of its own, all in one call."""
    ledger = store.open()

    def states(step: str) -> list[tuple[Identity, ...]]:
        options = product(
            (None, cmms(f"{step}-1"), cmms(f"{step}-2")), (None, row(f"{step}-1"), row(f"{step}-2")),
            (None, by_key(f"{step}-1"), by_key(f"{step}-2")),
        )  # fmt: skip
        return [tuple(one for one in option if one is not None) for option in options][1:]

    count = len(states(""))
    steps = [(states(f"{a}.{b}")[a], states(f"{a}.{b}")[b]) for a in range(count) for b in range(a % 7, count, 7)]
    before = await ledger.write("asset", [fresh(*former) for former, _ in steps])
    current = [one for one in before if isinstance(one, Stored)]
    assert len(current) == len(steps)
    moves = [with_identities(one, *after) for one, (_, after) in zip(current, steps, strict=True)]
    after = [one for one in await ledger.write("asset", moves) if isinstance(one, Stored)]
    assert len(after) == len(steps)
    expected = {identity: one for one in after for identity in one.link.identities}
    assert await find(ledger, *(identity for step in steps for part in step for identity in part)) == expected
    assert sorted(link.identities for link in await scanned(ledger)) == sorted(one.link.identities for one in after)
    again = await ledger.write("asset", [changed(one, last_sync=NOW) for one in after])
    assert all(isinstance(one, Stored) for one in again)
    assert not any(await ledger.write("asset", moves[::20])), "the etags of the former rows are spent"


async def test_an_identity_that_was_let_go_may_be_taken(store: Store) -> None:
    ledger = store.open()
    old = await stored_one(ledger, fresh(cmms("old"), row("1"), key="old"))
    new = await stored_one(ledger, fresh(cmms("new"), key="new"))
    assert await write_one(ledger, with_identities(new, cmms("new"), row("1"))) is None
    old = await stored_one(ledger, with_identities(old, cmms("old")))
    assert await find(ledger, row("1")) == {}
    await stored_one(ledger, with_identities(new, cmms("new"), row("1")))
    assert await keys(ledger, row("1"), cmms("old"), cmms("new")) == {
        row("1"): "new",
        cmms("old"): "old",
        cmms("new"): "new",
    }
    assert await write_one(ledger, with_identities(old, cmms("old"), row("1"))) is None


async def test_a_row_passes_from_one_link_to_the_next_in_one_call(store: Store) -> None:
    ledger = store.open()
    old = await stored_one(ledger, fresh(cmms("old"), row("1"), key="old"))
    new = await stored_one(ledger, fresh(cmms("new"), row("2"), key="new"))
    results = await ledger.write(
        "asset",
        [with_identities(old, cmms("old")), with_identities(new, cmms("new"), row("1")), fresh(row("2"), key="third")],
    )
    assert all(isinstance(one, Stored) for one in results)
    assert await keys(ledger, row("1"), row("2")) == {row("1"): "new", row("2"): "third"}


async def test_a_row_that_is_taken_before_it_is_let_go_is_not_taken(store: Store) -> None:
    ledger = store.open()
    old = await stored_one(ledger, fresh(cmms("old"), row("1"), key="old"))
    results = await ledger.write("asset", [fresh(cmms("new"), row("1")), with_identities(old, cmms("old"))])
    assert [isinstance(one, Stored) for one in results] == [False, True]
    assert await keys(ledger, cmms("old"), row("1"), cmms("new")) == {cmms("old"): "old"}


async def test_every_write_has_an_etag_of_its_own(store: Store) -> None:
    ledger = store.open()
    stored = fresh(cmms("1"))
    seen: set[str | None] = {None}
    for turn in range(20):
        stored = await stored_one(ledger, with_identities(stored, cmms("1"), *[row("1")] * (turn % 2)))
        assert stored.etag not in seen
        seen.add(stored.etag)


async def test_in_one_call_losers_do_not_hold_up_the_others(store: Store) -> None:
    ledger = store.open()
    before = await ledger.write("asset", [fresh(cmms(f"{number}"), row(f"{number}")) for number in range(120)])
    current = [one for one in before if isinstance(one, Stored)]
    assert len(current) == 120
    stale = {3, 77, 119}
    for number in stale:
        await stored_one(ledger, changed(current[number], key="other"))
    thief = fresh(cmms("thief"), row("5"))
    results = await ledger.write("asset", [*(changed(one, key="mine") for one in current), thief])
    assert {number for number, one in enumerate(results) if one is None} == {*stale, 120}
    found = await keys(ledger, *(row(f"{number}") for number in range(120)), cmms("thief"))
    assert found == {row(f"{number}"): "other" if number in stale else "mine" for number in range(120)}


async def test_the_same_link_twice_in_one_call_is_stored_once(store: Store) -> None:
    ledger = store.open()
    results = await ledger.write("asset", [fresh(cmms("1")), fresh(cmms("1"), key="second")])
    assert isinstance(results[0], Stored)
    assert results[1] is None
    assert await find(ledger, cmms("1")) == {cmms("1"): results[0]}
    again = await ledger.write("asset", [changed(results[0], key=key) for key in "ab"])
    assert [isinstance(one, Stored) for one in again] == [True, False]


async def test_a_link_without_any_identity_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="identity"):
        await store.open().write("asset", [fresh(cmms("1")), Stored(link=Link(key="A"))])
    assert await scanned(store.open()) == []


@pytest.mark.parametrize("first", [True, False], ids=["insert", "update"])
async def test_of_two_writers_from_the_same_etag_exactly_one_wins(store: Store, first: bool) -> None:
    workers = [store.open() for _ in range(4)]
    ids = [cmms(f"{number}") for number in range(8)]
    if not first:
        await workers[0].write("asset", [fresh(one) for one in ids])

    async def read(worker: Ledger) -> dict[Identity, Stored]:
        found = await find(worker, *ids)
        return {one: found.get(one, fresh(one)) for one in ids}

    async def together(worker: Ledger, name: str) -> Sequence[object]:
        found = await read(worker)
        await asyncio.sleep(0)
        return await worker.write("asset", [changed(found[one], key=name) for one in ids])

    async def single(worker: Ledger, name: str) -> Sequence[object]:
        found = await read(worker)
        order = random.Random(name).sample(ids, len(ids))
        done = {one: await write_one(worker, changed(found[one], key=name)) for one in order}
        return [done[one] for one in ids]

    results = await asyncio.gather(
        together(workers[0], "w0"), together(workers[1], "w1"), single(workers[2], "w2"), single(workers[3], "w3")
    )
    found = await find(workers[0], *ids)
    for number, one in enumerate(ids):
        winners = {f"w{worker}": result[number] for worker, result in enumerate(results)}
        won = {name: stored.etag for name, stored in winners.items() if isinstance(stored, Stored)}
        # A worker that read after another's write may win after it; the link is always that of the last winner.
        assert won[found[one].link.key] == found[one].etag
        assert len(set(won.values())) == len(won)


async def test_of_two_writers_that_have_read_the_same_state_one_loses(store: Store) -> None:
    one, other = store.open(), store.open()
    await one.write("asset", [fresh(cmms(f"B{number}")) for number in range(10)])
    ids = [cmms(f"{letter}{number}") for letter in "AB" for number in range(10)]
    reads = await find(one, *ids)
    results = await asyncio.gather(
        *(worker.write("asset", [changed(reads.get(each, fresh(each)), key=name) for each in ids])
          for worker, name in ((one, "one"), (other, "other")))
    )  # fmt: skip
    found = await keys(one, *ids)
    for number, each in enumerate(ids):
        winners = [name for name, result in zip(("one", "other"), results, strict=True) if result[number] is not None]
        assert winners == [found[each]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((cmms("{}"),), (cmms("{}"),)),
        ((cmms("{}"), row("{}")), (row("{}"),)),
        ((cmms("{}"), row("{}")), (cmms("{}"), row("other {}"))),
        ((cmms("{}"), row("{}")), (cmms("other {}"), row("{}"))),
        ((by_key("{}"), row("{}")), (cmms("{}"), row("{}"))),
        ((by_key("{}"),), (by_key("{}"), row("{}"))),
    ],
    ids=lambda identities: "-".join(f"{kind} {value.format('x')}" for kind, value in identities),
)
async def test_of_two_workers_that_meet_a_new_record_at_once_one_makes_its_link(
    store: Store, one: tuple[Identity, ...], other: tuple[Identity, ...]
) -> None:
    workers = [store.open() for _ in range(2)]
    for turn in range(4):
        parts = [[Identity(kind, value.format(turn)) for kind, value in each] for each in (one, other)]
        results = await asyncio.gather(
            *(write_one(worker, fresh(*part, key=str(number)))
              for number, (worker, part) in enumerate(zip(workers, parts, strict=True)))
        )  # fmt: skip
        made = [stored for stored in results if isinstance(stored, Stored)]
        assert len(made) == 1
        found = await find(workers[turn % 2], *parts[0], *parts[1])
        assert found == dict.fromkeys(made[0].link.identities, made[0])


async def test_of_two_links_that_take_one_row_at_once_one_gets_it(store: Store) -> None:
    workers = [store.open() for _ in range(2)]
    for turn in range(4):
        links = [await stored_one(workers[0], fresh(cmms(f"{turn}{name}"), key=name)) for name in "ab"]
        results = await asyncio.gather(
            *(write_one(worker, with_identities(link, *link.link.identities, row(f"{turn}")))
              for worker, link in zip(workers, links, strict=True))
        )  # fmt: skip
        (won,) = [stored for stored in results if isinstance(stored, Stored)]
        assert await find(workers[0], row(f"{turn}")) == {row(f"{turn}"): won}
        (lost,) = [link for link, stored in zip(links, results, strict=True) if stored is None]
        assert await find(workers[0], *lost.link.identities) == {lost.link.identities[0]: lost}


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.ledger.table_client.PAGE", 40)
    monkeypatch.setattr("shared.adapters.ledger.sqlite.PAGE", 40)


async def test_a_scan_gives_every_link_once_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    ledger = store.open()
    links = [
        *(fresh(cmms(f"{number}"), row(f"of {number}"), key=f"{number}") for number in range(50)),
        *(fresh(row(f"{number}"), key=f"{number}") for number in range(50)),
        *(fresh(by_key(f"{number}"), row(f"k {number}")) for number in range(50)),
    ]
    await ledger.write("asset", random.Random(7).sample(links, len(links)))
    for pages in ([page async for page in ledger.scan("asset")], [page async for page in ledger.hashes("asset")]):
        assert max(len(page) for page in pages) == 40
        assert min(len(page) for page in pages) > 0
    assert sorted(link.identities for link in await scanned(ledger)) == sorted(one.link.identities for one in links)
    assert await scanned(ledger) == await scanned(ledger)
    # None cannot be sorted beside text.
    assert sorted(map(str, await hashed(ledger))) == sorted(str(hash_of(one.link)) for one in links)


@pytest.mark.parametrize("what", ["scan", "hashes"])
async def test_a_link_that_gets_its_cmms_id_during_a_scan_is_not_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    small_pages(monkeypatch)
    ledger, other = store.open(), store.open()
    links = [fresh(one) for number in range(60) for one in (row(f"{number}"), by_key(f"{number}"))]
    written = [one for one in await ledger.write("asset", links) if isinstance(one, Stored)]
    met: list[str] = []
    for turn in range(4):
        moved: list[Stored] = []
        async for page in ledger.scan("asset") if what == "scan" else ledger.hashes("asset"):
            met += [one.row_id or one.key for one in page if not isinstance(one, LedgerUnreadable)]
            if not moved:
                part = written[turn * 30 : turn * 30 + 30]
                kept = [[one for one in stored.link.identities if one.kind == "row"] for stored in part]
                results = await other.write(
                    "asset",
                    [with_identities(stored, cmms(f"{turn} {number}"), *rows)
                     for number, (stored, rows) in enumerate(zip(part, kept, strict=True))],
                )  # fmt: skip
                moved = [one for one in results if isinstance(one, Stored)]
                assert len(moved) == 30
        assert {*met} >= {f"{number}" for number in range(60)}
        assert len(met) >= 120
        met.clear()


async def test_hashes_tell_the_bases_and_the_deletion_mark(store: Store) -> None:
    ledger = store.open()
    bases = {"nombre": Base(cmms="Pump", dynamics="Bomba"), "codigo": Base(cmms="A-1", dynamics="A-1")}
    first = await stored_one(ledger, changed(fresh(cmms("1"), row("1"), key="A-1"), bases=bases))
    assert await hashed(ledger) == [hash_of(first.link)]
    second = await stored_one(ledger, changed(first, deleted_at=NOW))
    assert [one.deleted for one in await hashed(ledger)] == [True]
    await stored_one(ledger, changed(second, deleted_at=None, bases={}))
    assert [(one.cmms, one.dynamics, one.deleted) for one in await hashed(ledger)] == [("", "", False)]


@pytest.mark.parametrize(
    ("size", "noise"), [(20_000, "wide"), (70_000, "random"), (1_000_000, "plain"), (1_000_000, "random")]
)
async def test_a_large_link_comes_back(store: Store, size: int, noise: str) -> None:
    chance = random.Random(size)
    text = {
        "plain": lambda: "x" * size,
        "random": lambda: "".join(chance.choices(ascii_letters + digits, k=size)),
        "wide": lambda: "".join(chance.choices('鍵🔑ñß\u2028"\\', k=size // 5)),
    }[noise]()  # fmt: skip
    ledger = store.open()
    written = await stored_one(ledger, filled(text, row("1")))
    assert (await find(ledger, row("1")))[row("1")] == written
    written = await stored_one(ledger, with_identities(written, cmms("1"), row("1")))
    assert await find(ledger, row("1"), cmms("1")) == dict.fromkeys([row("1"), cmms("1")], written)
    shorter = await stored_one(ledger, changed(written, bases={}))
    assert (await find(ledger, cmms("1")))[cmms("1")] == shorter


async def test_a_history_of_conflicts_grows_without_loss(store: Store) -> None:
    ledger = store.open()
    stored = await stored_one(ledger, fresh(row("1")))
    expected: tuple[object, ...] = ()
    for start in range(0, 300, 100):
        more = tuple(conflict(number, 2000) for number in range(start, start + 100))
        stored = await stored_one(ledger, changed(stored, conflicts=stored.link.conflicts + more))
        expected += more
        assert (await find(store.open(), row("1")))[row("1")].link.conflicts == expected
    stored = await stored_one(ledger, with_identities(stored, cmms("1"), row("1")))
    assert (await find(ledger, cmms("1")))[cmms("1")] == stored
    assert [link.conflicts for link in await scanned(ledger)] == [expected]


async def test_links_with_the_same_history_do_not_disturb_each_other(store: Store) -> None:
    ledger = store.open()
    history = tuple(conflict(number, 2000) for number in range(100))
    links = [changed(fresh(cmms(name)), conflicts=history) for name in "ab"]
    a, b = [one for one in await ledger.write("asset", links) if isinstance(one, Stored)]
    await stored_one(ledger, changed(a, conflicts=()))
    assert (await find(ledger, cmms("b")))[cmms("b")] == b


async def test_a_batch_of_large_links_is_stored(store: Store) -> None:
    ledger = store.open()
    chance = random.Random(1)
    ids = [cmms(f"{number}") for number in range(12)]
    links = [filled(chance.randbytes(150_000).hex(), one) for one in ids]
    assert all(isinstance(one, Stored) for one in await ledger.write("asset", links))
    found = await find(ledger, *ids)
    assert [found[one].link for one in ids] == [one.link for one in links]


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        "[]",
        '{"cmms_id":1}',
        '{"cmms_id":"Z","row_id":"of B"}',
        '{"cmms_id":"B"}',
        '{"cmms_id":"B","row_id":"of B","intents":[{"side":"of a later version"}]}',
    ],
)
async def test_a_row_that_cannot_be_read_costs_only_itself(store: Store, body: str) -> None:
    ledger = store.open()
    a, b, c = [await stored_one(ledger, fresh(cmms(name), row(f"of {name}"))) for name in "ABC"]
    await store.spoil(cmms("B"), body)
    found = dict(await ledger.find("asset", [*map(cmms, "ABCD"), row("of B")]))
    for error in (found.pop(cmms("B")), found.pop(row("of B"))):
        assert isinstance(error, LedgerUnreadable)
        assert error.identity == "cmms B"
        assert "asset cmms B" in error.message
        assert "delete it" in error.message
    assert found == {cmms("A"): a, cmms("C"): c}
    pages = [one async for page in ledger.scan("asset") for one in page]
    assert [one.identity if isinstance(one, LedgerUnreadable) else one.cmms_id for one in pages] == ["A", "cmms B", "C"]
    assert await hashed(ledger) == [hash_of(one.link) for one in (a, b, c)], "no body is parsed for a hash"
