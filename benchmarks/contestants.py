"""The product and its peers behind one call: write these assets, and say how it went."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.clients.job import LARGEST_CHUNK, TASKS, Job, Kind, chunk_size
from benchmarks.clients.peers import ALL, Peer
from benchmarks.load import QUEUE, TABLE, columns, landed, send
from benchmarks.scenario import Figures
from benchmarks.stack import Bench

PRODUCT: Final = "product"
LABELS: Final = {PRODUCT: "this product, one host", **{peer.name: peer.label for peer in ALL}}
PEERS: Final = {peer.name: peer for peer in ALL}

type Assets = Sequence[dict[str, Any]]


def contestants(*names: str) -> list[str]:
    """The product and those of the named peers, or all, that this machine can run."""
    return [PRODUCT, *(peer.name for peer in ALL if peer.name in (names or PEERS) and peer.missing() is None)]


def write(
    bench: Bench,
    name: str,
    assets: Assets,
    kind: Kind,
    *,
    tasks: int = TASKS,
    largest: int = LARGEST_CHUNK,
    retry_seconds: float = 60.0,
) -> Figures:
    """Let one of them write the assets.

    Returns:
        `seconds` from when it could begin to its last answer, `cpu`: its own seconds of processor time, `landed`: rows
        that then hold everything, and what Dataverse counted: `requests`, rows `written`, answers `throttled`.
    """
    bench.reset_stats()
    if name == PRODUCT:
        seconds, cpu = _product(bench, assets)
    else:
        seconds, cpu = _peer(
            PEERS[name], replace(job(bench, assets, kind, tasks=tasks, largest=largest), retry_seconds=retry_seconds)
        )
    stats = bench.stats()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "landed": landed(bench.rows(TABLE), assets),
        "requests": stats["requests"],
        "written": stats["rows_written"],
        "throttled": stats["statuses"].get("429", 0),
    }


def _product(bench: Bench, assets: Assets) -> tuple[float, float]:
    """The messages wait before the host starts; as for the peers, counted is from its first request to Dataverse."""
    send(bench.servicebus_connection, assets)
    with bench.worker() as worker:
        bench.wait_drained(QUEUE, worker)
        passed = datetime.now(UTC) - datetime.fromisoformat(bench.stats()["first_request_at"])
        return passed.total_seconds(), worker.usage().worker_seconds


def _peer(peer: Peer, work: Job) -> tuple[float, float]:
    answer = peer.finish(peer.start(work))
    return answer.seconds, answer.cpu_seconds


def job(bench: Bench, assets: Assets, kind: Kind, *, tasks: int = TASKS, largest: int = LARGEST_CHUNK) -> Job:
    """The same assets as a job for a peer. An update names the two columns that changed: the peer need not find out."""
    only = None if kind is Kind.CREATE else ("msdyn_name", "msdyn_currentbookvalue")
    return Job(
        bench.organization_url,
        bench.token(),
        kind,
        [columns(one, only) for one in assets],
        chunk=chunk_size(len(assets), tasks=tasks, largest=largest),
        tasks=tasks,
        token_url=bench.token_url,
        client_id=bench.keys.integration_id,
        client_secret=bench.keys.identity,
    )
