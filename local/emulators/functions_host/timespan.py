"""Durations as .NET writes them, which is how `host.json` and the bindings write them."""

import re
from datetime import timedelta

_TIMESPAN = re.compile(
    r"(?:(?P<days>\d{1,8})\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:\.\d{1,7})?))?"
)
_LIMITS = {"hours": 24, "minutes": 60, "seconds": 60}


def parse_timespan(text: str) -> timedelta:
    """Read `[d.]hh:mm[:ss[.fffffff]]`.

    Raises:
        ValueError: the text has another form, or hours, minutes or seconds out of range.
    """
    match = _TIMESPAN.fullmatch(text.strip())
    parts = {name: float(value) for name, value in match.groupdict(default="0").items()} if match else {}
    if not parts or any(parts[name] >= limit for name, limit in _LIMITS.items()):
        raise ValueError(f"{text!r} is not a time span: write it as hh:mm:ss, for example 00:05:00")
    return timedelta(**parts)
