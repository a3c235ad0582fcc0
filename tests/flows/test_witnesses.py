"""The changes of each side that were seen last: what proves that the side was restored, and what does not."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from shared.domain.link import Link, Seen
from shared.domain.model import NO_RECORD, NO_ROW, SIDES, CmmsRecord, DynamicsRecord, Record, Side, Version
from shared.domain.witnesses import KEPT, Witness, Witnesses
from shared.flows.ports.engine import Dynamics
from shared.flows.sync.reads import Reads
from shared.flows.sync.witnesses import Watch
from tests.kit.world import World

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANOTHER = "3117f054-c46e-4b3f-9ec0-feb9b4b6239f"
ROW = DynamicsRecord("A", 'W/"7"', {}, id="r", version=7, modified=NOW)
RECORD = CmmsRecord("A", '"7"', {}, id="1", version=Version(NOW))
OF_ROW, OF_RECORD = Witness("r", NOW, 7), Witness("1", NOW)


class Texts:
    """A ledger's small texts."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.calls: list[str] = []

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        self.calls.append("get")
        found = {name: self.texts[name] for name in names if name in self.texts}
        await asyncio.sleep(0)
        return found

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        self.calls.append("put")
        self.texts |= {name: value for name, value in values.items() if value is not None}

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        self.calls.append("swap")
        await asyncio.sleep(0)
        if self.texts.get(name) != before:
            return False
        self.texts[name] = after
        return True


@pytest.mark.parametrize(
    ("witness", "shown", "taken_back"),
    [
        pytest.param(OF_ROW, ROW, False, id="a row as it was seen"),
        pytest.param(OF_ROW, replace(ROW, version=6), True, id="a row with a lower version"),
        pytest.param(OF_ROW, replace(ROW, version=6, modified=NOW + MINUTE), True, id="a row edited below its version"),
        pytest.param(OF_ROW, replace(ROW, modified=NOW + MINUTE), True, id="a row whose version was counted again"),
        pytest.param(OF_ROW, replace(ROW, version=8, modified=NOW + MINUTE), False, id="a row edited since"),
        pytest.param(OF_ROW, replace(ROW, version=None), False, id="a row that names no version"),
        pytest.param(OF_ROW, NO_ROW, False, id="a row that is gone"),
        pytest.param(OF_ROW, None, False, id="a row that was not found"),
        pytest.param(OF_RECORD, RECORD, False, id="a record as it was seen"),
        pytest.param(OF_RECORD, replace(RECORD, version=Version(NOW - MINUTE)), True, id="a record older than seen"),
        pytest.param(OF_RECORD, replace(RECORD, version=Version(NOW + MINUTE)), False, id="a record edited since"),
        pytest.param(OF_RECORD, replace(RECORD, version=Version(NOW - MINUTE), deleted=True), False, id="a tombstone"),
        pytest.param(OF_RECORD, NO_RECORD, False, id="a record that is gone"),
    ],
)
def test_a_change_is_taken_back_where_an_older_state_is_shown(
    witness: Witness, shown: Record | None, *, taken_back: bool
) -> None:
    assert witness.is_taken_back(shown) is taken_back


def link(version: int | None, minutes: int = 0, name: str = "r") -> Link:
    at = NOW + minutes * MINUTE
    return Link(cmms_id=None, row_id=name, seen=Seen(row_version=version, row_modified=at if version else None))


async def noted(watch: Watch, *pairs: tuple[Link, Link]) -> Sequence[Witness]:
    await watch.note("asset", pairs)
    return (await watch.of("asset"))["dynamics"].newest


async def test_a_change_of_what_was_seen_before_is_a_witness_for_every_host() -> None:
    texts = Texts()
    assert await noted(Watch(texts), (link(6), link(7))) == (OF_ROW,)
    assert (await Watch(texts).of("asset"))["dynamics"].newest == (OF_ROW,)
    assert (await Watch(texts).of("order"))["dynamics"] == Witnesses()


async def test_what_parts_of_a_batch_see_beside_each_other_is_kept() -> None:
    watch = Watch(Texts())
    pairs = [(link(1, name=str(one)), link(2, one, str(one))) for one in range(KEPT)]
    await asyncio.gather(*(watch.note("asset", [pair]) for pair in pairs))
    assert [one.id for one in (await watch.of("asset"))["dynamics"].newest] == [str(one) for one in range(KEPT)]


async def test_what_hosts_see_at_the_same_time_is_kept_of_each() -> None:
    texts = Texts()
    pairs = [(link(1, name=str(one)), link(2, one, str(one))) for one in range(KEPT)]
    await asyncio.gather(*(Watch(texts).note("asset", [pair]) for pair in pairs))
    assert [one.id for one in (await Watch(texts).of("asset"))["dynamics"].newest] == [str(one) for one in range(KEPT)]


@pytest.mark.parametrize("pair", [(link(7), link(7)), (link(7), link(6))])
async def test_what_is_unchanged_is_no_witness_and_costs_the_ledger_nothing(pair: tuple[Link, Link]) -> None:
    texts = Texts()
    await Watch(texts).note("asset", [pair])
    assert texts.calls == []


async def test_what_is_seen_for_the_first_time_is_no_witness_and_may_be_taken_back_as_well() -> None:
    watch = Watch(Texts())
    new = link(None, name="new"), link(9, 5, "new")
    assert await noted(watch, (link(6), link(7)), new) == (OF_ROW,)
    assert await judged(watch, OLDER, NOW + 9 * MINUTE) == {"dynamics": NOW + 5 * MINUTE}


async def test_the_newest_changes_are_kept_one_of_each_row() -> None:
    watch = Watch(Texts())
    many = [(link(1, name=str(one)), link(2, one, str(one))) for one in range(KEPT + 3)]
    await noted(watch, *many)
    newest = await noted(watch, (link(2, name="5"), link(3, 99, "5")))
    assert [one.id for one in newest] == [*(str(one) for one in range(3, KEPT + 3) if one != 5), "5"]


async def judged(watch: Watch, shown: Mapping[Side, Mapping[str, Record]], now: datetime) -> dict[Side, datetime]:
    return await watch.judge("asset", await watch.of("asset"), {side: shown.get(side, {}) for side in SIDES}, now)


OLDER: Mapping[Side, Mapping[str, Record]] = {"dynamics": {"r": replace(ROW, version=6)}}
AS_SEEN: Mapping[Side, Mapping[str, Record]] = {"dynamics": {"r": ROW}}


async def test_a_witness_that_was_taken_back_for_a_minute_proves_a_restore_to_every_host() -> None:
    texts = Texts()
    watch = Watch(texts)
    await noted(watch, (link(6), link(7)))
    assert await judged(watch, OLDER, NOW) == {"dynamics": NOW}
    assert await judged(Watch(texts), AS_SEEN, NOW) == {}
    assert await judged(watch, OLDER, NOW + MINUTE) == {"dynamics": NOW}
    # Whatever the row shows by now, and whatever was seen since.
    assert await judged(Watch(texts), AS_SEEN, NOW + MINUTE) == {"dynamics": NOW}
    await noted(watch, (link(7), link(8, 5)))
    assert (await Watch(texts).of("asset"))["dynamics"].latest == NOW


async def test_a_list_read_that_lags_proves_nothing() -> None:
    watch = Watch(Texts())
    await noted(watch, (link(6), link(7)))
    for minutes, shown, expected in [(0, OLDER, {"dynamics": NOW}), (1, AS_SEEN, {}), (2, OLDER, {"dynamics": NOW})]:
        assert await judged(watch, shown, NOW + minutes * MINUTE) == expected
    assert (await watch.of("asset"))["dynamics"].since is None


async def test_a_batch_that_reads_nothing_of_a_side_settles_no_doubt_about_it() -> None:
    watch = Watch(Texts())
    await noted(watch, (link(6), link(7)))
    await judged(watch, OLDER, NOW)
    assert await judged(watch, {}, NOW + MINUTE) == {"dynamics": NOW}
    assert (await watch.of("asset"))["dynamics"].since is None
    await judged(watch, OLDER, NOW + MINUTE)
    assert (await watch.of("asset"))["dynamics"].since == NOW


async def test_witnesses_are_read_along_with_any_question_by_id_and_never_alone(world: World) -> None:
    witness, asked = world.dynamics.put("A"), world.dynamics.put("B", ANOTHER)
    dynamics, entity = cast("Dynamics", world.dynamics), world.mapping.entities["asset"]
    newest = Witnesses(newest=(Witness(witness.id, NOW),))
    reads = Reads(entity, world.ledger, dynamics, None, {"cmms": Witnesses(), "dynamics": newest})
    await reads.ask_rows([None])
    assert reads.rows == {}
    await reads.ask_rows([asked.id])
    assert reads.rows.keys() == {asked.id, witness.id}


async def test_what_is_seen_while_a_restore_is_in_question_displaces_no_witness() -> None:
    watch = Watch(Texts())
    await noted(watch, (link(6), link(7)))
    await judged(watch, OLDER, NOW)
    many = [(link(1, name=str(one)), link(2, one, str(one))) for one in range(KEPT)]
    assert await noted(watch, *many) == (OF_ROW,)


async def test_nothing_counts_from_before_an_operators_word_on_any_host() -> None:
    texts = Texts()
    one, another = Watch(texts), Watch(texts)
    await noted(one, (link(6), link(7)))
    before = dict(texts.texts)
    await another.forget("asset", "dynamics")
    assert (await one.of("asset"))["dynamics"].newest == ()
    texts.texts |= before  # a host stores late what it read before the word
    assert (await one.of("asset"))["dynamics"].newest == ()
    assert await noted(one, (link(3), link(4, 9))) == (Witness("r", NOW + 9 * MINUTE, 4),)


async def test_a_text_that_cannot_be_read_counts_as_nothing() -> None:
    texts = Texts()
    await noted(Watch(texts), (link(6), link(7)))
    texts.texts = dict.fromkeys(texts.texts, "{")
    assert (await Watch(texts).of("asset"))["dynamics"].newest == ()
