"""Service Bus queue triggers: receive, run, settle."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import MessageAlreadySettled, MessageLockLostError

from local.emulators.functions_host.connection import Connect
from local.emulators.functions_host.dispatcher import Dispatcher, InvocationFailed
from local.emulators.functions_host.functions import Function, QueueTrigger
from local.emulators.functions_host.host_json import ServiceBusOptions
from local.emulators.functions_host.logs import redact
from local.emulators.functions_host.messages import NotBindable, batch, single

_logger = logging.getLogger(__name__)
# The client stops 0.2 s after a batch's first message, which on a busy machine cuts a large one that has more to come.
_MANY = 50
_FURTHER_SECONDS = 0.2
_IDLE_SECONDS = 0.5  # how long a stop or a settlement may have to wait for a receive that finds nothing
_BACK_OFF_SECONDS = (0.25, 0.5, 1.0, 2.0)


class QueueListener:
    """Feeds one function from its queue until `stop`, through broker outages.

    A batch function runs one batch at a time and its locks are not renewed; a single-message function runs up
    to `maxConcurrentCalls` messages, and their locks are. Success completes each message; a failure abandons
    every message of the invocation.
    """

    def __init__(
        self,
        function: Function,
        connect: Connect,
        dispatcher: Dispatcher,
        options: ServiceBusOptions,
    ) -> None:
        if not isinstance(function.trigger, QueueTrigger):
            raise TypeError(function.trigger)
        self._function = function
        self._trigger = function.trigger
        self._connect = connect
        self._dispatcher = dispatcher
        self._options = options
        self._stopping = asyncio.Event()
        self._connected: bool | None = None
        # Receiving, settling and renewing take turns: beside each other they wait for the SDK's socket time-outs.
        self._link = asyncio.Lock()

    def stop(self) -> None:
        """Receive nothing more; `run` returns once the current invocations have been settled."""
        self._stopping.set()

    async def run(self) -> None:
        """Listen until stopped."""
        failures = 0
        while not self._stopping.is_set():
            try:
                async with AsyncExitStack() as stack:
                    client = await stack.enter_async_context(self._connect())
                    receiver = await stack.enter_async_context(
                        client.get_queue_receiver(self._trigger.queue, prefetch_count=self._options.prefetch_count)
                    )
                    failures = 0
                    self._report_connected()
                    await (self._run_batches if self._trigger.many else self._run_singles)(receiver)
            except* (AzureError, OSError, ValueError) as errors:
                # ValueError: the SDK's word for using a link that the other side has closed.
                self._report_lost(errors.exceptions[0])
                delay = _BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)]
                failures += 1
                await self._pause(delay)

    async def _run_batches(self, receiver: ServiceBusReceiver) -> None:
        while not self._stopping.is_set():
            if messages := await self._receive_batch(receiver):
                reason = f"(new Service Bus messages detected on '{self._trigger.queue}': {len(messages)})"
                try:
                    value, metadata = batch(messages, binary=self._trigger.binary)
                    await self._dispatcher.invoke(
                        self._function, value, metadata, reason=reason, messages=len(messages)
                    )
                except NotBindable as error:
                    self._report_not_bound(error)
                    await self._settle(receiver, messages, succeeded=False)
                except InvocationFailed:
                    await self._settle(receiver, messages, succeeded=False)
                else:
                    await self._settle(receiver, messages, succeeded=True)

    async def _receive_batch(self, receiver: ServiceBusReceiver) -> list[ServiceBusReceivedMessage]:
        """Up to a full batch; the first waits at most `maxBatchWaitTime` for `minMessageBatchSize`."""
        options, loop = self._options, asyncio.get_running_loop()
        messages = await receiver.receive_messages(options.max_message_batch_size, max_wait_time=_IDLE_SECONDS)
        deadline = loop.time() + options.max_batch_wait_time.total_seconds()
        while messages and len(messages) < options.min_message_batch_size and not self._stopping.is_set():
            if (left := deadline - loop.time()) <= 0:
                break
            missing = options.max_message_batch_size - len(messages)
            messages += await receiver.receive_messages(missing, max_wait_time=min(left, _IDLE_SECONDS))
        while _MANY <= len(messages) < options.max_message_batch_size and not self._stopping.is_set():
            missing = options.max_message_batch_size - len(messages)
            more = await receiver.receive_messages(missing, max_wait_time=_FURTHER_SECONDS)
            if not more:
                break
            messages += more
        return messages

    async def _run_singles(self, receiver: ServiceBusReceiver) -> None:
        running: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping.is_set():
                free = self._options.max_concurrent_calls - len(running)
                if not free:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)
                    continue
                async with self._link:
                    # With calls running a settlement may be waiting for the link: look only briefly.
                    wait = _IDLE_SECONDS / 10 if running else _IDLE_SECONDS
                    messages = await receiver.receive_messages(free, max_wait_time=wait)
                running |= {asyncio.create_task(self._run_single(receiver, message)) for message in messages}
                done = {task for task in running if task.done()}
                running -= done
                await asyncio.gather(*done)
        finally:
            await asyncio.gather(*running)

    async def _run_single(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        renewal = asyncio.create_task(self._renew_lock(receiver, message))
        reason = f"(new Service Bus message detected on '{self._trigger.queue}')"
        try:
            value, metadata = single(message, binary=self._trigger.binary)
            await self._dispatcher.invoke(self._function, value, metadata, reason=reason, messages=1)
            succeeded = True
        except NotBindable as error:
            self._report_not_bound(error)
            succeeded = False
        except InvocationFailed:
            succeeded = False
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
        async with self._link:
            await self._settle(receiver, [message], succeeded=succeeded)

    async def _renew_lock(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.max_auto_lock_renewal_duration.total_seconds()
        while loop.time() < end and message.locked_until_utc is not None:
            left = message.locked_until_utc.timestamp() - time.time()
            await asyncio.sleep(max(left / 2, 0.1))
            async with self._link:
                try:
                    await receiver.renew_message_lock(message)
                except (AzureError, OSError, ValueError) as error:
                    _logger.warning(
                        "The lock of message %s was not renewed: %s", message.message_id, redact(str(error))
                    )
                    return

    async def _settle(
        self, receiver: ServiceBusReceiver, messages: list[ServiceBusReceivedMessage], *, succeeded: bool
    ) -> None:
        if succeeded and not self._options.auto_complete_messages:
            return
        settle = receiver.complete_message if succeeded else receiver.abandon_message

        async def is_lost(message: ServiceBusReceivedMessage) -> bool:
            try:
                await settle(message)
            except (MessageLockLostError, MessageAlreadySettled):
                return True
            return False

        # All are sent before the first answer is read, as by the real host. The first failure ends the others.
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(is_lost(message)) for message in messages]
        if lost := sum(end.result() for end in ends):
            _logger.warning(
                "%d of %d messages from '%s' ran longer than their locks and come again: "
                "make batches smaller or the queue's lock duration longer",
                lost,
                len(messages),
                self._trigger.queue,
            )

    def _report_connected(self) -> None:
        level = logging.INFO if self._connected is None else logging.WARNING
        _logger.log(level, "Function '%s' listens to queue '%s'", self._function.name, self._trigger.queue)
        self._connected = True

    def _report_lost(self, error: Exception) -> None:
        if self._connected is not False:
            _logger.error(
                "Function '%s' cannot listen to queue '%s' and tries again until it can: %s: %s",
                self._function.name,
                self._trigger.queue,
                type(error).__name__,
                redact(str(error)),
            )
        self._connected = False

    def _report_not_bound(self, error: NotBindable) -> None:
        _logger.error(
            "Executed 'Functions.%s' (Failed): Exception binding parameter '%s': %s",
            self._function.name,
            self._trigger.parameter,
            error,
        )

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
