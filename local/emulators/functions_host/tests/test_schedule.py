from datetime import UTC, datetime, timedelta

import pytest

from local.emulators.functions_host.retries import Retries
from local.emulators.functions_host.schedule import parse_schedule

START = datetime(2026, 11, 22, 22, 16, 7, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("*/5 * * * * *", "2026-11-22T22:16:10"),
        ("0 */15 * * * *", "2026-11-22T22:30:00"),
        ("*/15 * * * *", "2026-11-22T22:30:00"),
        ("0 30 9 * * MON-FRI", "2026-11-23T09:30:00"),
        ("0 0 0 1 jan *", "2027-01-01T00:00:00"),
        # NCRONTAB wants both the 13th and a Friday, Unix cron either.
        ("0 0 0 13 * 5", "2027-08-13T00:00:00"),
        ("00:15:00", "2026-11-22T22:31:07.500000"),
        ("1.00:00:01", "2026-11-23T22:16:08.500000"),
    ],
)
def test_the_next_due_time(text: str, due: str) -> None:
    assert parse_schedule(text).after(START) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "* * *", "0 0 0 L * *", "0 0 0 * * 5#2", "61 * * * * *", "25:00:00", "00:00:00", "soon"]
)
def test_what_ncrontab_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"schedule|time span"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("retries", "seconds"),
    [
        (Retries(3, timedelta(seconds=2), timedelta(seconds=2)), [2, 2, 2]),
        (Retries(5, timedelta(seconds=1), timedelta(seconds=5)), [1, 2, 4, 5, 5]),
        (Retries(0, timedelta(seconds=1), timedelta(seconds=5)), []),
    ],
)
def test_retries_wait_as_their_policy_says_and_end(retries: Retries, seconds: list[int]) -> None:
    allowed = [retry for retry in range(1, 100) if retries.allow(retry)]

    assert [retries.delay(retry).total_seconds() for retry in allowed] == seconds


def test_a_policy_without_a_limit_retries_for_ever() -> None:
    assert Retries(-1, timedelta(seconds=1), timedelta(hours=1)).delay(10_000) == timedelta(hours=1)
    assert Retries(-1, timedelta(seconds=1), timedelta(hours=1)).allow(10_000)
