"""Timer triggers."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from local.emulators.functions_host.dispatcher import Dispatcher, InvocationFailed
from local.emulators.functions_host.functions import Function, TimerTrigger
from local.emulators.functions_host.protos import TypedData
from local.emulators.functions_host.worker import Attempt

_LOOK_SECONDS = 30.0  # the wall clock may jump, for example when the machine has slept
_LATE = timedelta(seconds=5)


class TimerListener:
    """Runs one timer function when it is due, never twice at a time; what falls due during a run is skipped.

    `IsPastDue` says that the run is late: the machine slept, or the host was stalled. There is no memory of
    runs before this process.
    """

    def __init__(self, function: Function, dispatcher: Dispatcher) -> None:
        if not isinstance(function.trigger, TimerTrigger):
            raise TypeError(function.trigger)
        self._function = function
        self._trigger = function.trigger
        self._dispatcher = dispatcher
        self._last: datetime | None = None
        self._due = self._trigger.schedule.after(datetime.now(UTC))
        self._stopping = asyncio.Event()
        self._single = asyncio.Lock()

    def stop(self) -> None:
        """Start no further run."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep the schedule until stopped."""
        if self._trigger.run_on_startup:
            await self.fire("the host has started")
        while not self._stopping.is_set():
            self._due = self._trigger.schedule.after(datetime.now(UTC))
            if await self._wait_until_due():
                late = datetime.now(UTC) - self._due > _LATE
                await self.fire(f"due at {self._due:%Y-%m-%dT%H:%M:%SZ}", past_due=late)

    async def fire(self, reason: str, *, past_due: bool = False) -> None:
        """Run the function now, after a run that is under way, and again as its retry policy says."""
        async with self._single:
            if self._stopping.is_set():
                return
            started = datetime.now(UTC)
            request = TypedData(json=json.dumps(self._request(started, past_due=past_due)))
            retries = self._trigger.retries
            attempt = Attempt(most=retries.most if retries is not None else 0)
            while (failure := await self._failure_of(request, reason, attempt)) is not None and retries is not None:
                attempt = attempt.next_after(failure)
                if not retries.allow(attempt.retry) or await self._stopped_within(retries.delay(attempt.retry)):
                    break
            self._last = started

    def _request(self, started: datetime, *, past_due: bool) -> dict[str, Any]:
        status = {
            "Last": self._last.isoformat() if self._last else "0001-01-01T00:00:00+00:00",
            "Next": self._trigger.schedule.after(started).isoformat(),
            "LastUpdated": (self._last or started).isoformat(),
        }
        return {
            "IsPastDue": past_due,
            "Schedule": {"AdjustForDST": self._trigger.schedule.interval is None},
            "ScheduleStatus": status if self._trigger.monitored else None,
        }

    async def _failure_of(self, request: TypedData, reason: str, attempt: Attempt) -> InvocationFailed | None:
        """Run the function once; a timer has nobody to tell of a failure but its retry policy and the log."""
        try:
            await self._dispatcher.invoke(self._function, request, reason=f"timer, {reason}", attempt=attempt)
        except InvocationFailed as failure:
            return failure
        return None

    async def _stopped_within(self, delay: timedelta) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay.total_seconds())
        except TimeoutError:
            return False
        return True

    async def _wait_until_due(self) -> bool:
        while (left := (self._due - datetime.now(UTC)).total_seconds()) > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), min(left, _LOOK_SECONDS))
            except TimeoutError:
                continue
            return False
        return not self._stopping.is_set()
