"""Timer schedules: NCRONTAB expressions and time spans, in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from local.emulators.functions_host.timespan import parse_timespan

# NCRONTAB has no L, W, ? and #, which the cron library would take.
_FIELDS = re.compile(r"(?:[\d*,/-]|(?i:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT))+")


@dataclass(frozen=True)
class Schedule:
    """When a timer is due."""

    text: str
    interval: timedelta | None = None

    def after(self, moment: datetime) -> datetime:
        """The first due time later than `moment` (aware)."""
        if self.interval is not None:
            return moment + self.interval
        return next(_cron(self.text, moment.astimezone(UTC)))

    def is_frequent(self, moment: datetime) -> bool:
        """Whether the timer is due more often than once a minute. Azure keeps no status for such a timer.

        Source: https://github.com/Azure/azure-webjobs-sdk-extensions/issues/436
        """
        first = self.after(moment)
        return self.after(first) - first < timedelta(minutes=1)


def parse_schedule(text: str) -> Schedule:
    """Read an NCRONTAB expression of five or six fields (the first of six is seconds) or a time span.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions

    Raises:
        ValueError: it is neither, or it is never due.
    """
    text = text.strip()
    if ":" in text:
        interval = parse_timespan(text)
        if interval <= timedelta(0):
            raise ValueError(f"the schedule {text} is never due: use a time span above zero")
        return Schedule(text, interval)
    try:
        _check_fields(text)
        next(_cron(text, datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        reason = f" ({error})" if str(error) else ""
        raise ValueError(
            f"the schedule {text!r} is not an NCRONTAB expression that is ever due{reason}: "
            "write {second} {minute} {hour} {day} {month} {day of week}, for example 0 */15 * * * *"
        ) from error
    return Schedule(text)


def _check_fields(text: str) -> None:
    fields = text.split()
    if len(fields) not in {5, 6} or not all(_FIELDS.fullmatch(field) for field in fields):
        raise CronSimError


def _cron(text: str, moment: datetime) -> CronSim:
    cron = CronSim(text, moment)
    # NCRONTAB wants day and day of week to match together; Unix cron wants either where both are restricted.
    cron.day_and = True
    return cron
