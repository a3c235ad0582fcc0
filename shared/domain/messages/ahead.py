"""Versions that have not come yet.

In one-way mode the newest version wins. A version of 2099, from a clock that is wrong or a unit that was mistaken,
would win against each message of the next decades, silently. Clocks of servers that are looked after differ by
seconds, so a version that is minutes ahead is not a version.
"""

from datetime import datetime, timedelta
from typing import Final

from shared.domain.model import Version
from shared.errors import InvalidMessage, VersionInTheFuture

MOST_AHEAD: Final = timedelta(minutes=10)


def check_version(version: Version | None, now: datetime) -> None:
    """Judge the version of one CMMS message, whatever its kind.

    Args:
        version: As `as_version` of the message's data gives it: by the event's own time where the data has none.
        now: The worker's clock, with an offset.

    Raises:
        InvalidMessage: There is none: late and new cannot be told apart.
        VersionInTheFuture: It is more than ten minutes ahead.
    """
    if version is None:
        raise InvalidMessage(
            "The message says no version: send data.version (the change's instant) or the event's time."
        )
    if version.at - now > MOST_AHEAD:
        raise VersionInTheFuture(
            f"The message's version, or the event's time that stands in for it, is {version.at.isoformat()}, and now it"
            f" is {now.isoformat(timespec='seconds')}: taken as it is, it would win against every change until then."
            " Correct the sender's clock, send the change again, and discard this message."
        )
