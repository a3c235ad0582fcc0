"""`python -m benchmarks.metadata`: what the larger cache of `_strptime` brings, see `functions/__init__.py`.

azure-functions decodes the metadata of 500 messages, as the Functions host sends them, with the cache of the standard
library and with ours, in turn.
"""

import _strptime  # type: ignore[import-not-found]  # the standard library's own, without a stub
import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Final

from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter

import functions

MESSAGES: Final = 500
TURNS: Final = 9
_USUAL: Final = 5
_START: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


def batch() -> tuple[Datum, dict[str, Datum]]:
    """A batch's bodies and metadata."""
    times = [(_START + timedelta(milliseconds=number)).isoformat() for number in range(MESSAGES)]
    zoneless = [time.removesuffix("+00:00") for time in times]
    texts = {
        "LockToken": [f"00000000-0000-4000-8000-{number:012}" for number in range(MESSAGES)],
        "MessageId": [f"message {number}" for number in range(MESSAGES)],
        "ContentType": ["application/cloudevents+json"] * MESSAGES,
        "Subject": [f"AC-{number:06}" for number in range(MESSAGES)],
    }
    values: dict[str, list[object]] = {
        "DeliveryCount": [1] * MESSAGES,
        "EnqueuedTimeUtc": [*zoneless],
        "EnqueuedTime": [*times],
        "ExpiresAtUtc": [*zoneless],
        "ExpiresAt": [*times],
        "UserProperties": [{}] * MESSAGES,
        "ApplicationProperties": [{}] * MESSAGES,
    }
    metadata = {
        f"{name}Array": Datum(SimpleNamespace(string=some), "collection_string") for name, some in texts.items()
    }
    metadata |= {f"{name}Array": Datum(json.dumps(some), "json") for name, some in values.items()}
    return Datum(SimpleNamespace(bytes=[b"{}"] * MESSAGES), "collection_bytes"), metadata


def decode_seconds(cache: int) -> float:
    """The processor time of decoding a batch with a cache of so many formats."""
    _strptime._CACHE_MAX_SIZE = cache  # noqa: SLF001  # as in functions/__init__.py
    data, metadata = batch()
    started = time.thread_time()
    ServiceBusMessageInConverter.decode(data, trigger_metadata=metadata)
    return time.thread_time() - started


def main() -> None:
    """Measure in turn, and print the least of each."""
    argparse.ArgumentParser(prog="python -m benchmarks.metadata", description=__doc__).parse_args()
    ours = functions.TIME_FORMATS
    turns = [(decode_seconds(_USUAL), decode_seconds(ours)) for _ in range(TURNS)]
    for size, seconds in zip((_USUAL, ours), map(min, zip(*turns, strict=True)), strict=True):
        print(f"cache of {size:2} formats: {seconds * 1000:.0f} ms for {MESSAGES} messages")  # noqa: T201  # a command line


if __name__ == "__main__":
    main()
