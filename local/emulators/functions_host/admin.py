"""The host's own endpoints under `/admin`: state, list of functions, runs on demand, figures."""

import asyncio
import ipaddress
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from local.emulators.functions_host.dispatcher import Dispatcher
from local.emulators.functions_host.functions import Function, HttpTrigger, QueueTrigger
from local.emulators.functions_host.timers import TimerListener
from local.emulators.functions_host.web import Keys


class Admin:
    """Answers `/admin/...`. All of it needs the master key, except the state when asked from this machine."""

    def __init__(
        self,
        functions: list[Function],
        timers: Mapping[str, TimerListener],
        dispatcher: Dispatcher,
        keys: Keys,
    ) -> None:
        self._functions = functions
        self._timers = timers
        self._dispatcher = dispatcher
        self._keys = keys
        self._started = time.monotonic()
        self._runs: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The endpoints."""
        return [
            web.get("/admin/host/status", self._status),
            web.get("/admin/host/metrics", self._metrics),
            web.get("/admin/functions", self._list),
            web.post("/admin/functions/{name}", self._run),
            web.route("*", "/admin/{rest:.*}", self._unknown),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        if not _is_local(request) and not self._keys.allow(request, "admin"):
            return web.Response(status=401)
        return web.json_response({"state": "Running"})

    async def _metrics(self, request: web.Request) -> web.Response:
        if not self._keys.allow(request, "admin"):
            return web.Response(status=401)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        process = {
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "worker_cpu_seconds": self._dispatcher.worker_cpu_seconds,
            "peak_rss_mb": round(_peak_rss_bytes(usage) / 2**20, 1),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
        }
        return web.json_response({"process": process, "functions": self._dispatcher.figures()})

    async def _list(self, request: web.Request) -> web.Response:
        if not self._keys.allow(request, "admin"):
            return web.Response(status=401)
        base = f"{request.scheme}://{request.host}"
        return web.json_response([_describe(function, base) for function in self._functions])

    async def _run(self, request: web.Request) -> web.Response:
        if not self._keys.allow(request, "admin"):
            return web.Response(status=401)
        name = request.match_info["name"]
        if name not in {function.name for function in self._functions}:
            return web.Response(status=404)
        if name not in self._timers:
            return web.json_response(
                {"error": f"{name} is not a timer function: call its URL, or send a message to its queue"},
                status=400,
            )
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "input" not in body:
            return web.json_response({"error": 'Send {"input": ""} as JSON'}, status=400)
        run = asyncio.create_task(self._timers[name].fire("called through the admin API"))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return web.Response(status=202)

    async def _unknown(self, request: web.Request) -> web.Response:
        return web.Response(status=404 if self._keys.allow(request, "admin") else 401)


def _is_local(request: web.Request) -> bool:
    return request.remote is not None and ipaddress.ip_address(request.remote).is_loopback


def _describe(function: Function, base: str) -> dict[str, Any]:
    trigger = function.trigger
    if isinstance(trigger, HttpTrigger):
        details: dict[str, Any] = {
            "trigger": "httpTrigger",
            "methods": sorted(trigger.methods),
            "invoke_url_template": f"{base}/{trigger.route.template}",
        }
    elif isinstance(trigger, QueueTrigger):
        details = {
            "trigger": "serviceBusTrigger",
            "queue": trigger.queue,
            "cardinality": "many" if trigger.many else "one",
        }
    else:
        details = {"trigger": "timerTrigger", "schedule": trigger.schedule.text}
    return {"name": function.name, **details}


def _peak_rss_bytes(usage: resource.struct_rusage) -> int:
    # On Linux ru_maxrss starts at what the parent had before the exec; the kernel's own mark does not.
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
