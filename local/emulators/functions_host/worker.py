"""The Python worker: the real runtime, on a thread and an event loop of its own.

A blocking `async def` of the app stalls this loop only: message receipt, lock renewal, timers and HTTP run on
the host's loop.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime  # type: ignore[import-untyped]

from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.protos import PROTOS, ParameterBinding, RpcException, StatusResult, TypedData

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """Which attempt of a run this is: `retry` 0 is the first one; `most` retries may follow (-1: any number).

    `exception` is what the attempt before this one raised.
    """

    retry: int = 0
    most: int = 0
    exception: RpcException | None = None

    def next_after(self, failure: Exception) -> "Attempt":
        """The attempt that follows a failure."""
        return Attempt(self.retry + 1, self.most, RpcException(message=str(failure)))


class FunctionError(Exception):
    """A function raised, or its input could not be decoded. `stack_trace` is the worker's."""

    def __init__(self, error: RpcException) -> None:
        super().__init__(error.message)
        self.stack_trace = error.stack_trace


class Worker:
    """Loads one app and runs its functions. One per process: the app's decorators register globally."""

    def __init__(self, app_dir: Path) -> None:
        self._app_dir = app_dir
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Start the worker's thread."""
        runtime.start_threadpool_executor()
        self._thread.start()
        self._started.wait()

    @property
    def cpu_seconds(self) -> float | None:
        """The CPU time of the worker's thread, without the host's beside it; None where the system does not tell."""
        if self._thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
            return None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    async def index(self) -> list[Any]:
        """Import `function_app.py` and return the runtime's metadata of each function.

        Raises:
            StartError: the import failed, the decorators are wrong, or there is no function.
        """
        script = self._app_dir / "function_app.py"
        if not script.is_file():
            raise StartError(f"{script} does not exist. Point --app at the folder that has the function_app.py.")
        return await asyncio.wrap_future(self._submit(self._index(script)))

    async def invoke(
        self,
        function_id: str,
        invocation_id: str,
        trace_parent: str,
        data: ParameterBinding,
        metadata: dict[str, TypedData],
        *,
        attempt: Attempt,
    ) -> TypedData | None:
        """Run a function once and return its result. Cancelling this cancels the function's coroutine.

        Raises:
            FunctionError: the function failed.
        """
        request = SimpleNamespace(
            request=SimpleNamespace(
                invocation_request=SimpleNamespace(
                    invocation_id=invocation_id,
                    function_id=function_id,
                    input_data=[data],
                    trigger_metadata=metadata,
                    trace_context=SimpleNamespace(trace_parent=trace_parent, trace_state="", attributes={}),
                    retry_context=SimpleNamespace(
                        retry_count=attempt.retry, max_retry_count=attempt.most, exception=attempt.exception
                    ),
                )
            ),
            properties=None,
        )
        response = await asyncio.wrap_future(self._submit(self._invoke(invocation_id, request)))
        if response.result.status != StatusResult.Success:
            raise FunctionError(response.result.exception)
        if response.return_value is not None:
            return response.return_value  # type: ignore[no-any-return]
        return response.output_data[0].data if response.output_data else None

    def stop(self, timeout: float) -> bool:
        """Cancel what runs and end the thread. False if user code did not yield within `timeout` seconds."""
        if self._loop is None or self._stop is None:
            return True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        executor = runtime.get_threadpool_executor()
        executor.shutdown(wait=False, cancel_futures=True)
        idle = not any(thread.is_alive() for thread in executor._threads)  # noqa: SLF001 - no public question exists
        return idle and not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._started.set()
        await self._stop.wait()

    def _submit[T](self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        assert self._loop is not None, "the worker was not started"  # noqa: S101 - a programming error
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _index(self, script: Path) -> list[Any]:
        sys.path.insert(0, str(self._app_dir))
        init = SimpleNamespace(capabilities={}, function_app_directory=str(self._app_dir))
        response = await runtime.worker_init_request(
            SimpleNamespace(
                request=SimpleNamespace(worker_init_request=init),
                properties={"host": "127.0.0.1", "protos": PROTOS},
            )
        )
        if response.result.status != StatusResult.Success:
            error = response.result.exception
            raise StartError(
                f"{script} cannot be loaded: {error.message.partition('. Cannot find module')[0]}. "
                "Correct what the traceback above shows.",
                details=error.stack_trace,
            )
        metadata = await runtime.functions_metadata_request(SimpleNamespace(request=None, properties=None))
        if not metadata.function_metadata_results:
            raise StartError(
                f"{script} defines no function. Decorate functions with @app.route, @app.timer_trigger "
                "or @app.service_bus_queue_trigger, and register each blueprint with "
                "app.register_functions(...)."
            )
        return list(metadata.function_metadata_results)

    @staticmethod
    async def _invoke(invocation_id: str, request: SimpleNamespace) -> Any:
        runtime.invocation_id_cv.set(invocation_id)
        try:
            return await runtime.invocation_request(request)
        except SystemExit as error:
            # Left alone it would end this loop, and with it every later invocation.
            exception = RpcException(message=f"SystemExit: the function called sys.exit({error.code!r})")
            return SimpleNamespace(result=StatusResult(status=StatusResult.Failure, exception=exception))
