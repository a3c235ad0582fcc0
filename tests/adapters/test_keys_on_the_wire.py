"""Business keys of any characters: found by filter, within the service's limit of an address."""

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from local.emulators.dataverse.rows import Collation
from shared.adapters.dataverse.query import in_filters
from tests.adapters.worlds import ASSET, World, create, creates, update

ADDRESS_LIMIT = 32 * 1024
MOST_CONDITIONS = 100
"""Of the 500 that a query of the service may have."""
AWKWARD = [
    "a/b<c>*%&:\\?+#'",
    "''",
    "O'Brian",
    "\\n",
    "a\\",
    "[a],[b]",
    '"a","b"',
    "a,b",
    "ñandú ½ 資産",
    "%27%20",
    "a  b",
    "$&=",
    "In(x)",
    "{0}",
]
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("/<>*%&:\\?+#'\"[], "))
keys = texts.map(str.strip).filter(lambda key: key.isprintable() and 0 < len(key.encode("utf-16-le")) <= 100)


@given(st.lists(keys, min_size=1, unique=True), st.integers(1, 700))
@example(["/" * 50], 700)
@example(["資" * 50], 700)
@settings(max_examples=60, deadline=None)
def test_no_address_is_longer_than_the_service_takes_and_no_key_is_left_out(some: list[str], count: int) -> None:
    wanted = [some[number % len(some)] for number in range(count)]
    chunks = list(in_filters("msdyn_assetnumber", wanted))
    assert max(condition.count(" eq ") for _, condition in chunks) <= MOST_CONDITIONS or " eq " in "".join(some)
    assert [key for chunk, _ in chunks for key in chunk] == wanted
    for _, condition in chunks:
        address = httpx.URL("https://org.crm.dynamics.com/api/data/v9.2/x", params={"$filter": condition})
        assert len(str(address)) < ADDRESS_LIMIT - 2_000  # room for $select and the host


async def test_a_list_of_long_keys_that_all_need_encoding_is_asked_for_in_addresses_the_service_takes(
    world: World,
) -> None:
    wanted = [f"{number:04}" + "/" * 46 for number in range(500)]
    await world.landed(ASSET, [create(key) for key in wanted[:300]])
    world.wire.forget()
    found = await world.gateway.by_key(ASSET, wanted)
    assert sum(len(rows) for rows in found.values()) == 300
    assert max(len(str(request.url)) for request in world.wire.requests) < ADDRESS_LIMIT
    assert 414 not in world.statistics.statuses


@given(st.lists(keys, min_size=1, max_size=8, unique_by=Collation.ACCENT_BLIND.whole))
@example(AWKWARD)
@example(AWKWARD[:1])
@settings(max_examples=40, deadline=None)
async def test_any_key_is_created_found_and_updated(some: list[str]) -> None:
    world = World()
    created = await world.landed(ASSET, [create(key) for key in some])
    assert [row.key for row in created] == some
    found = await world.gateway.by_key(ASSET, some)
    assert {key: [row.key for row in rows] for key, rows in found.items()} == {key: [key] for key in some}
    written = await world.landed(ASSET, [update(found[key][0], nombre=f"{key}!") for key in some])
    assert [row.values["nombre"] for row in written] == [f"{key}!" for key in some]
    assert [row.id for row in written] == [row.id for row in created]
    await world.aclose()


async def test_keys_with_apostrophes_cost_no_more_requests_than_others(world: World) -> None:
    wanted = [f"{number}'s" if number % 20 == 0 else f"{number}" for number in range(400)]
    await world.landed(ASSET, [create(key) for key in wanted])
    world.wire.forget()
    found = await world.gateway.by_key(ASSET, wanted)
    assert sum(len(rows) for rows in found.values()) == 400
    assert len(world.wire.requests) == 1


async def test_a_row_written_in_other_letters_belongs_to_the_key_that_was_asked_for(world: World) -> None:
    await world.landed(ASSET, [create("Bomba-1"), create("x")])
    found = await world.gateway.by_key(ASSET, ["BOMBA-1", "X", "y"])
    assert {key: [row.key for row in rows] for key, rows in found.items()} == {
        "BOMBA-1": ["Bomba-1"],
        "X": ["x"],
        "y": [],
    }


@pytest.mark.parametrize(("collation", "accented"), [(Collation.CASE_BLIND, []), (Collation.ACCENT_BLIND, ["arbol"])])
async def test_of_keys_that_look_alike_each_gets_the_rows_that_dynamics_takes_for_it(
    collation: Collation, accented: list[str]
) -> None:
    # Whether the organization's collation respects accents, only the organization can tell.
    world = World(collation=collation)
    await world.landed(ASSET, [create("arbol")])
    found = await world.gateway.by_key(ASSET, ["Arbol", "árbol", "ARBOL", "z"])
    assert {key: [row.key for row in rows] for key, rows in found.items()} == {
        "Arbol": ["arbol"],
        "ARBOL": ["arbol"],
        "árbol": accented,
        "z": [],
    }
    await world.aclose()


async def test_ids_are_found_in_one_list_and_missing_ones_are_left_out(world: World) -> None:
    rows = await world.landed(ASSET, creates(5))
    missing = "11111111-1111-1111-1111-111111111111"
    world.wire.forget()
    found = await world.gateway.by_id(ASSET, [*(row.id for row in rows), missing])
    assert sorted(found) == sorted(row.id for row in rows)
    assert len(world.wire.requests) == 1
    assert sorted(await world.gateway.by_id(ASSET, [rows[0].id])) == [rows[0].id]


async def test_every_page_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.dataverse.gateway.PAGE", 7)
    await world.landed(ASSET, creates(20))
    pages = [[row.key for row in page] async for page in world.gateway.pages(ASSET)]
    assert [len(page) for page in pages] == [7, 7, 6]
    assert sorted(key for page in pages for key in page) == [write.key for write in creates(20)]


async def test_no_cookie_is_kept(world: World) -> None:
    for _ in range(3):
        await world.gateway.by_key(ASSET, ["a"])
    assert world.statistics.requests["list"] == 3
    assert world.statistics.kept_cookies == 0
