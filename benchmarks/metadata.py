"""`python -m benchmarks.metadata`: what a batch's properties cost, which `functions/bodies.py` leaves out.

500 messages, as the Functions host sends them, are decoded by azure-functions and by the product, in turn.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Final

from azure.functions.meta import Datum

from functions.bodies import WHOLE, bodies_alone

MESSAGES: Final = 500
TURNS: Final = 9
_WAYS: Final = {"with all properties": WHOLE, "bodies alone": bodies_alone}
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


def decode_seconds(decode: Callable[..., object]) -> float:
    """The processor time of decoding a batch."""
    data, metadata = batch()
    started = time.thread_time()
    decode(data, trigger_metadata=metadata)
    return time.thread_time() - started


def main() -> None:
    """Measure in turn, and print the least of each."""
    argparse.ArgumentParser(prog="python -m benchmarks.metadata", description=__doc__).parse_args()
    turns = [[decode_seconds(decode) for decode in _WAYS.values()] for _ in range(TURNS)]
    for way, seconds in zip(_WAYS, map(min, zip(*turns, strict=True)), strict=True):
        print(f"{way}: {seconds * 1000:.1f} ms for {MESSAGES} messages")  # noqa: T201  # a command line


if __name__ == "__main__":
    main()
