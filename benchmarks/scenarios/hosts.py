"""One, two and three Functions hosts on the same queue, with records of their own and with records in common."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any, Final

from benchmarks.conditions import USUAL
from benchmarks.load import QUEUE, TABLE, assets, landed, send
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import MOST_HOSTS, Bench
from benchmarks.worker import Worker

_VERSIONS: Final = 3
_FIFTH: Final = 5
_WARM_UP: Final = 100
_KINDS: Final = {"distinct": "each record once", "repeated": "each record three times"}
_HOSTS: Final = tuple(range(1, MOST_HOSTS + 1))
_NUMBERS: Final = {1: "one host", 2: "two hosts", 3: "three hosts"}


def _variants(size: Size) -> Sequence[str]:
    hosts = _HOSTS if size.records > _FIFTH * _VERSIONS * MOST_HOSTS else _HOSTS[1:2]
    return [f"{kind}-{number}" for kind, number in product(_KINDS, hosts)]


def messages(kind: str, records: int) -> Iterator[dict[str, Any]]:
    """Three versions of each record, first all the first ones; or as many records once."""
    if kind == "distinct":
        yield from assets(records * _VERSIONS, generation=0)
        return
    for generation in range(_VERSIONS):
        yield from assets(records, generation=generation)


def warm_up(bench: Bench, workers: Sequence[Worker]) -> None:
    """Give the hosts messages of other records, one at a time, until each has had one: the first makes it import."""
    for number in range(_WARM_UP):
        if all(worker.usage().batches for worker in workers):
            return
        send(bench.servicebus_connection, [{**one, "key": f"W-{number}"} for one in assets(1, generation=0)])
        bench.wait_drained(QUEUE, workers[0])
    raise TimeoutError(f"After {_WARM_UP} messages some host has had none. Its log:\n{workers[-1].log_tail()}")


def measure(size: Size, variant: str) -> Figures:
    """Let so many running hosts work off messages that come at once."""
    kind, _, number = variant.partition("-")
    some = list(messages(kind, max(1, size.records // _FIFTH)))
    last = list({one["key"]: one for one in some}.values())
    with Bench(USUAL) as bench, ExitStack() as stack:
        workers = [stack.enter_context(bench.worker(host)) for host in range(int(number))]
        warm_up(bench, workers)
        bench.reset_stats()
        before = sum(worker.usage().worker_seconds for worker in workers)
        started = time.monotonic()
        send(bench.servicebus_connection, some)
        bench.wait_drained(QUEUE, workers[0])
        seconds = time.monotonic() - started
        cpu = sum(worker.usage().worker_seconds for worker in workers) - before
        right = landed(bench.rows(TABLE), last)
        requests = bench.stats()["requests"]
    return {
        "messages": len(some),
        "records": len(last),
        "landed": right,
        "seconds": seconds,
        "rate": len(some) / seconds,
        "cpu": cpu,
        "requests": requests,
    }


HOSTS: Final = Scenario(
    "hosts",
    "One, two and three hosts",
    "As many messages come at once to hosts that are running and have had a message before, for records of their own or"
    " three for each record. Hosts that meet in a record must not both write it. All hosts share the machine's cores"
    " with the emulators and with the program that sends.",
    _variants,
    measure,
    (
        Column("messages", "messages"),
        Column("landed", "records right in the end"),
        Column("seconds", "time", Unit.SECONDS),
        Column("rate", "messages a second"),
        Column("cpu", "CPU of all workers", Unit.SECONDS),
        Column("requests", "requests"),
    ),
    plots=(Plot("seconds", "Seconds for the same number of messages, by hosts"),),
    slow=True,
    labels={f"{kind}-{number}": f"{_KINDS[kind]}, {_NUMBERS[number]}" for kind, number in product(_KINDS, _HOSTS)},
)
