"""Runs invocations: one place for their ids, log lines, time limit and figures."""

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from local.emulators.functions_host.functions import Function
from local.emulators.functions_host.logs import invocation_scope
from local.emulators.functions_host.protos import ParameterBinding, TypedData
from local.emulators.functions_host.worker import Attempt, FunctionError, Worker

_logger = logging.getLogger(__name__)


@dataclass
class Figures:
    """What a function did since the start. `messages` counts the queue messages it was given."""

    invocations: int = 0
    failures: int = 0
    messages: int = 0
    wall_seconds: float = 0.0


class InvocationFailed(Exception):
    """The function raised or ran out of time; the log has the details."""


_ONLY = Attempt()


class Dispatcher:
    """Runs functions on the worker, under `functionTimeout` (None: unlimited)."""

    def __init__(self, worker: Worker, functions: list[Function], timeout: timedelta | None) -> None:
        self._worker = worker
        self._timeout = timeout.total_seconds() if timeout else None
        self._figures = {function.name: Figures() for function in functions}
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def worker_cpu_seconds(self) -> float | None:
        """The CPU time of the worker alone, which in Azure is a process beside the host."""
        return self._worker.cpu_seconds

    def figures(self) -> dict[str, dict[str, Any]]:
        """The figures of each function, ready for JSON."""
        return {name: asdict(figures) for name, figures in self._figures.items()}

    async def drain(self, seconds: float) -> bool:
        """Wait up to `seconds` for running invocations. False if some still run."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def invoke(
        self,
        function: Function,
        data: TypedData,
        metadata: Mapping[str, TypedData] | None = None,
        *,
        reason: str,
        messages: int = 0,
        trace_id: str | None = None,
        attempt: Attempt = _ONLY,
    ) -> TypedData | None:
        """Run a function once and return what it returned. `trace_id`: 32 hex digits of the caller's trace.

        Raises:
            InvocationFailed: the function raised or timed out.
        """
        invocation_id = str(uuid.uuid4())
        trace_parent = f"00-{trace_id or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        binding = ParameterBinding(function.trigger.parameter, data)
        # The real host sends no entry for what a message does not have; the library trips over an empty one.
        present = {name: value for name, value in (metadata or {}).items() if value.kind is not None}
        figures = self._figures[function.name]
        figures.invocations += 1
        figures.messages += messages
        self._running += 1
        self._idle.clear()
        start = time.perf_counter()
        with invocation_scope(function.name, invocation_id):
            _logger.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation_id)
            outcome = "Failed"
            try:
                async with asyncio.timeout(self._timeout):
                    result = await self._worker.invoke(
                        function.id, invocation_id, trace_parent, binding, present, attempt=attempt
                    )
                outcome = "Succeeded"
            except FunctionError as error:
                _logger.error("%s", f"{error}\n{error.stack_trace}".strip())  # noqa: TRY400 - the worker's traceback
                raise InvocationFailed(str(error)) from error
            except TimeoutError as error:
                _logger.error(  # noqa: TRY400 - the host's own traceback says nothing
                    "The function ran longer than the functionTimeout of host.json (%g s) and was cancelled; "
                    "Azure would also restart the worker process",
                    self._timeout,
                )
                raise InvocationFailed("timeout") from error
            finally:
                seconds = time.perf_counter() - start
                figures.wall_seconds += seconds
                figures.failures += outcome == "Failed"
                self._running -= 1
                if not self._running:
                    self._idle.set()
                _logger.log(
                    logging.INFO if outcome == "Succeeded" else logging.ERROR,
                    "Executed 'Functions.%s' (%s, Id=%s, Duration=%.0fms)",
                    function.name,
                    outcome,
                    invocation_id,
                    seconds * 1000,
                )
        return result
