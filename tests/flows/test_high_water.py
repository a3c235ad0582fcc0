"""The highest row version that any host has seen in a table."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from shared.domain.high_water import UNSEEN
from shared.flows.sync.high_water import HighWaterMarks

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NINE = UNSEEN.raised(9, NOW)


class Texts:
    """A ledger's small texts. `asked` and `written` count."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.asked = self.written = 0

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        self.asked += 1
        return {name: self.texts[name] for name in names if name in self.texts}

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        self.written += 1
        self.texts |= {name: value for name, value in values.items() if value is not None}


async def test_another_host_knows_a_mark_within_a_minute() -> None:
    texts = Texts()
    one, other = HighWaterMarks(texts), HighWaterMarks(texts)
    assert await other.of("asset", NOW) == UNSEEN
    await one.note("asset", [7, None, 9], NOW)
    assert await other.of("asset", NOW) == UNSEEN
    assert await other.of("asset", NOW + MINUTE) == NINE
    assert await other.of("order", NOW + MINUTE) == UNSEEN


async def test_a_mark_never_falls_and_keeps_its_first_instant() -> None:
    texts = Texts()
    one = HighWaterMarks(texts)
    await one.note("asset", [9], NOW)
    await one.note("asset", [9], NOW + MINUTE)
    await one.note("asset", [8], NOW + MINUTE)
    assert await one.of("asset", NOW + MINUTE) == NINE
    assert await HighWaterMarks(texts).of("asset", NOW) == NINE


async def test_marks_cost_one_read_and_one_write_a_minute() -> None:
    texts = Texts()
    one = HighWaterMarks(texts)
    for second in range(120):
        now = NOW + timedelta(seconds=second)
        await one.of("asset", now)
        await one.note("asset", [second], now)
    assert (texts.asked, texts.written) == (2, 2)


async def test_a_text_that_cannot_be_read_counts_as_nothing() -> None:
    texts = Texts()
    await HighWaterMarks(texts).note("asset", [9], NOW)
    texts.texts = dict.fromkeys(texts.texts, "{")
    assert await HighWaterMarks(texts).of("asset", NOW) == UNSEEN
    await HighWaterMarks(texts).note("asset", [7], NOW)
    assert await HighWaterMarks(texts).of("asset", NOW) == UNSEEN.raised(7, NOW)


def test_a_change_proves_a_restore_where_it_is_later_and_its_version_lower() -> None:
    mark, later = NINE, NOW + timedelta(hours=1)
    assert mark.is_above(8, later)
    assert not any([mark.is_above(9, later), mark.is_above(8, NOW), mark.is_above(None, later), mark.is_above(8, None)])


def test_a_restore_is_proven_still_when_the_counter_has_caught_up() -> None:
    mark = UNSEEN
    for minute in range(600):
        mark = mark.raised(100 + minute, NOW + minute * MINUTE)
    assert mark.is_above(500, NOW + 500 * MINUTE)
    assert not mark.is_above(500, NOW + 400 * MINUTE)
    assert len(mark.marks) < 100


async def test_no_mark_counts_from_before_an_operators_word_on_any_host() -> None:
    texts = Texts()
    one, other = HighWaterMarks(texts), HighWaterMarks(texts)
    await one.note("asset", [9], NOW)
    await other.forget("asset", NOW + MINUTE)
    assert await one.of("asset", NOW + MINUTE) == UNSEEN
    await one.note("asset", [4], NOW + 2 * MINUTE)
    assert await other.of("asset", NOW + 2 * MINUTE) == UNSEEN.raised(4, NOW + 2 * MINUTE)
