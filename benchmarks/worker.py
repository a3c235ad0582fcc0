"""A Functions host under measurement."""

from dataclasses import dataclass

import httpx

from local.processes import Process


@dataclass(frozen=True)
class Usage:
    """What a Functions host and its worker have used since they started; `worker_seconds` is the worker's part."""

    cpu_seconds: float
    worker_seconds: float
    peak_mb: float
    batches: int


class Worker:
    """A running Functions host at `url`."""

    def __init__(self, http: httpx.Client, url: str, key: str, process: Process) -> None:
        self.url = url
        self._http = http
        self._headers = {"x-functions-key": key}
        self._process = process

    def usage(self, function: str = "assets") -> Usage:
        """Read the host's own figures."""
        answer = self._http.get(f"{self.url}/admin/host/metrics", headers=self._headers).raise_for_status().json()
        process, counts = answer["process"], answer["functions"][function]
        return Usage(
            process["cpu_seconds"], process["worker_cpu_seconds"], process["peak_rss_mb"], counts["invocations"]
        )

    def log_tail(self) -> str:
        """The end of its log."""
        return self._process.tail()
