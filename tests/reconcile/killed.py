"""`python -m tests.reconcile.killed LEDGER URL BUS`: reconciles in processes that end before one of their effects.

Each line on standard input, `WHAT NUMBER`, is one run in a process of its own, forked so that the imports are paid for
once. The run kills itself by SIGKILL just before its request, send, return from a send or store of state of that
number; with `nothing 0` it runs to its end. Each line on standard output answers one run: null for a killed one.
"""

import asyncio
import json
import os
import signal
import ssl
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpcore  # noqa: F401  # httpx imports it only with its first connection, in each fork again
import httpx

from shared.adapters.clock import SystemClock
from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.ledger import SqliteLedger
from shared.flows import scratch
from shared.flows.ports.engine import Outgoing
from shared.flows.reconcile import Policy, Reconciler
from shared.flows.routing.route import Router
from tests.fakes import document_mapping

MOST_REPAIRS = 5


class Death:
    """Comes before the effect that was named."""

    def __init__(self, what: str, number: int) -> None:
        self._end = what, number
        self._done: Counter[str] = Counter()

    def may_come(self, what: str) -> None:
        self._done[what] += 1
        if (what, self._done[what]) == self._end:
            os.kill(os.getpid(), signal.SIGKILL)


class Wire(httpx.AsyncHTTPTransport):
    """The network."""

    def __init__(self, death: Death) -> None:
        # Loading the system's certificates, for no address here, would take longer than a run.
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._death = death

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._death.may_come("request")
        return await super().handle_async_request(request)


class Bus:
    """A queue that outlives its senders: a file with a line for each message."""

    def __init__(self, file: Path, death: Death) -> None:
        self._file = file
        self._death = death

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        self._death.may_come("send")
        lines = "".join(f"{os.getpid()} {queue} {message.subject}\n" for message in messages)
        with self._file.open("a") as out:
            out.write(lines)
        self._death.may_come("sent")


class State:
    """The ledger's state."""

    def __init__(self, ledger: SqliteLedger, death: Death) -> None:
        self._ledger = ledger
        self._death = death

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        return await self._ledger.get_state(names)

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        self._death.may_come("state")
        await self._ledger.put_state(values)

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        self._death.may_come("state")
        return await self._ledger.swap_state(name, before, after)


async def reconcile(ledger_file: Path, url: str, bus: Path, death: Death) -> dict[str, Any]:
    """Run once."""
    clock = SystemClock()
    ledger = SqliteLedger(ledger_file)
    client = DataverseClient(f"{url}/api/data/v9.2", httpx.BasicAuth("test", ""), clock, Wire(death))
    dynamics, cmms = DataverseGateway(client, clock), CmmsGateway(url, "test", clock, Wire(death))
    router = Router(Bus(bus, death), clock, Random(1))  # noqa: S311  # jitter
    policy = Policy(timedelta(), full_every=timedelta(hours=24), max_repairs=MOST_REPAIRS)
    state = State(ledger, death)
    reconciler = Reconciler(document_mapping(), ledger, dynamics, cmms, router, clock=clock, policy=policy, state=state)
    try:
        report = await reconciler.run()
    finally:
        await dynamics.aclose()
        await cmms.aclose()
        ledger.close()
    drift = {finding.key: finding.kind.value for finding in report.findings}
    return {"kind": report.kind, "drift": drift, "repairs": report.repairs, "pending": report.pending}


def run(ledger: Path, url: str, bus: Path, death: Death) -> str:
    """Run once in a process of its own; answers what it found, or null if it was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        found = asyncio.run(reconcile(ledger, url, bus, death))
        with os.fdopen(write, "w") as out:
            json.dump(found, out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        found_text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "null"
    if status != 0:
        raise RuntimeError(f"A run ended with {os.waitstatus_to_exitcode(status)}: see above.")
    return found_text


def main() -> None:
    """Run as often as there are lines."""
    # So that a small world spills into the temporary file.
    scratch.CACHE_KIB = 64  # type: ignore[misc]  # a constant otherwise
    ledger, url, bus = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    for line in sys.stdin:
        what, number = line.split()
        print(run(ledger, url, bus, Death(what, int(number))), flush=True)  # noqa: T201  # its parent reads it


if __name__ == "__main__":
    main()
