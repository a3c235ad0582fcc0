"""`ops restored` as a person types it: mistakes are answered by a sentence that says what to type instead."""

import json
from datetime import UTC, datetime

import pytest

from ops.commands.restored import _instant
from ops.session import UsageError
from tests.ops.test_usage import SETTINGS, environment, run

__all__ = ["environment"]

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yesterday", "write it as 2026-01-31T02:30:00Z"),
        ("", "write it as 2026-01-31T02:30:00Z"),
        ("2026-02-31T02:30:00Z", "write it as 2026-01-31T02:30:00Z"),
        ("2026-01-31T02:30:00", "has no time zone: add Z for UTC"),
        ("2026-01-31", "has no time zone: add Z for UTC"),
        ("2026-01-31T12:00:01Z", "is in the future"),
        ("2026-01-31T12:30:00-00:30", "is in the future"),
    ],
)
def test_a_moment_that_cannot_be_the_backup_s_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _instant(text, NOW)


@pytest.mark.parametrize("text", ["2026-01-31T02:30:00Z", "2026-01-31T03:30:00+01:00", "2026-01-31T02:30Z"])
def test_a_moment_with_a_time_zone_is_taken(text: str) -> None:
    assert _instant(text, NOW) == datetime(2026, 1, 31, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--side", "cmsm", "--at", "2026-01-31T02:30:00Z"), "name one of cmms, dynamics, ledger"),
        (("--side", "cmms", "--at", "2026-01-31T02:30:00Z"), "one-way mode"),
        (("--side", "ledger", "--at", "2026-01-31T02:30:00Z"), "anunciar"),
        (("--side", "dynamics", "--at", "2026-01-31T02:30:00Z", "--entity", "pump"), "There is no entity"),
        (("--side", "dynamics", "--at", "2999-01-31T02:30:00Z"), "is in the future"),
    ],
)
def test_a_mistake_ends_with_2_and_a_sentence(
    environment: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    for name, value in SETTINGS.items():
        environment.setenv(name, value)
    done = run("restored", *arguments, "--json")
    assert (done.exit_code, says in json.loads(done.stdout)["error"]["message"]) == (2, True)
