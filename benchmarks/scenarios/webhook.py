"""The webhook beside a bare handler: the processor time of a request, large and small, and of a forged one."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import count, islice, product
from typing import Final

import httpx

from benchmarks.conditions import FREE
from benchmarks.contestants import PRODUCT
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import Bench
from local.run import ROOT

_BARE: Final = "bare"
_SIZES: Final = {"2kB": 2_000, "200kB": 200_000, "forged": 2_000}
_NAMES: Final = {PRODUCT: "this product", _BARE: "a bare handler"}
_KINDS: Final = {"2kB": "2 KB", "200kB": "200 KB", "forged": "forged, 2 KB"}
_AT_A_TIME: Final = 8
_WARM_UP: Final = 20
_LARGE_SHARE: Final = 5


def _variants(_size: Size) -> Sequence[str]:
    return [f"{name}-{kind}" for kind, name in product(_SIZES, _NAMES)]


def bodies(size: int) -> Iterator[bytes]:
    """The document's notification of one asset after the other, each about `size` bytes."""
    for number in count():
        data = {
            "msdyn_customerassetid": f"00000000-0000-4000-8000-{number:012}",
            "msdyn_assetnumber": f"AC-{number:06}",
        }
        text = json.dumps({"eventType": "asset.updated", "data": {**data, "msdyn_name": ""}})
        yield text.replace('"msdyn_name": ""', f'"msdyn_name": "{"Bomba " * ((size - len(text)) // 6)}"').encode()


async def post(url: str, some: Sequence[bytes], secret: str, expected: int) -> None:
    """Post the bodies, some at a time.

    Raises:
        RuntimeError: One was answered otherwise.
    """
    left = iter(some)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:

        async def task() -> None:
            for body in left:
                signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
                answer = await http.post(url, content=body, headers={"X-MS-SIGNATURE": signature})
                if answer.status_code != expected:
                    raise RuntimeError(f"The webhook answered {answer.status_code}: {answer.text[:200]}")

        await asyncio.gather(*(task() for _ in range(_AT_A_TIME)))


def measure(size: Size, variant: str) -> Figures:
    """Post to one of the two, and divide its worker's processor time by the requests."""
    name, _, kind = variant.partition("-")
    posts = max(_AT_A_TIME, size.posts // _LARGE_SHARE) if kind == "200kB" else size.posts
    some = list(islice(bodies(_SIZES[kind]), posts + _WARM_UP))
    expected = HTTPStatus.FORBIDDEN if kind == "forged" else HTTPStatus.ACCEPTED
    app = ROOT / "benchmarks" / ("only_webhook" if name == PRODUCT else "bare")
    with Bench(FREE) as bench, bench.worker(app=app) as worker:
        secret = "not the secret" if kind == "forged" else bench.keys.webhook
        url = f"{worker.url}/api/dynamics/webhook"
        asyncio.run(post(url, some[:_WARM_UP], secret, expected))
        before, started = worker.usage("webhook"), time.monotonic()
        asyncio.run(post(url, some[_WARM_UP:], secret, expected))
        seconds, after = time.monotonic() - started, worker.usage("webhook")
        enqueued = bench.waiting("assets")
    return {
        "posts": posts,
        "enqueued": enqueued,
        "cpu_ms": (after.worker_seconds - before.worker_seconds) * 1000 / posts,
        "rate": posts / seconds,
    }


WEBHOOK: Final = Scenario(
    "webhook",
    "The webhook beside a bare handler",
    "Notifications in the document's signed form to the product's webhook, and to a [bare"
    " handler](../benchmarks/bare/function_app.py) that checks the signature, puts the body on the same queue and"
    " answers; both on the same Functions host, without any other function, 8 requests at a time, after 20 to warm up."
    " Forged requests bear a signature under another secret and are refused with 403. CPU is the worker's, without the"
    " host's; the rate is bound by the program that posts, too.",
    _variants,
    measure,
    (
        Column("posts", "requests"),
        Column("cpu_ms", "CPU for each", Unit.MILLISECONDS),
        Column("rate", "answers a second"),
    ),
    plots=(
        Plot("cpu_ms", "Processor time of one webhook request", "milliseconds of the worker's CPU; shorter is better"),
    ),
    labels={f"{name}-{kind}": f"{_NAMES[name]}, {_KINDS[kind]}" for kind, name in product(_SIZES, _NAMES)},
)
