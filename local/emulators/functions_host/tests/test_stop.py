import json
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from azure.servicebus import ServiceBusMessage

from local.emulators.functions_host.tests.brokered import running_broker
from local.emulators.functions_host.tests.running import APPS, RunningHost, running, start, until
from local.emulators.servicebus import QueueSettings

NEVER = {"EVERY": "0 0 0 29 2 *"}


def test_a_stop_lets_the_current_batch_finish_and_leaves_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker([QueueSettings("batches"), QueueSettings("singles")]))
        settings = {"Bus": broker.connection_string, "BATCH_QUEUE": "batches"}
        host = stack.enter_context(running(APPS / "queue", tmp_path, settings))
        broker.send("batches", [ServiceBusMessage("sleep 2")])
        host.wait_for_log("Executing 'Functions.many'")

        assert host.stop() == 0

        assert "Executed 'Functions.many' (Succeeded" in host.log
        assert "Warning" not in host.log
        assert "Traceback" not in host.log
        assert not broker.waiting("batches")


def test_a_function_that_never_yields_is_left_after_the_grace(tmp_path: Path) -> None:
    settings = {**NEVER, "AzureFunctionsJobHost__functionTimeout": "00:01:00"}
    with running(APPS / "web", tmp_path, settings, ["--grace", "0.5"]) as host:
        caller = threading.Thread(target=_call, args=(host, "/api/block?seconds=60"))
        caller.start()
        host.wait_for_log("Executing 'Functions.block'")
        started = time.monotonic()

        assert host.stop() == 0

        assert time.monotonic() - started < 50
        caller.join(30)
        assert "still ran 0.5 s after the stop" in host.log


def _call(host: RunningHost, path: str) -> None:
    with httpx.Client(base_url=host.client.base_url, timeout=60) as client:
        try:
            client.get(path)
        except httpx.TransportError:
            return


def test_the_end_of_standard_input_stops_the_host_on_request(tmp_path: Path) -> None:
    with running(APPS / "web", tmp_path, NEVER, ["--exit-with-stdin"]) as host:
        assert host.process.stdin is not None
        host.process.stdin.close()

        assert host.process.wait(60) == 0


def test_an_interrupt_stops_the_host_and_its_json_log_is_lines_of_json(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = start(APPS / "web", NEVER, ["--log-json"], output.fileno())
    try:
        until(lambda: '"ready"' in log.read_text(), "the host is ready")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    records = [json.loads(line) for line in log.read_text().splitlines()]
    (ready,) = [record for record in records if record["message"] == "ready"]
    assert ready["url"].startswith("http://127.0.0.1:")
    assert ready["functions"]["only_get"].startswith("[GET] ")
    (startup,) = [r for r in records if r.get("function") == "yearly" and r["message"].startswith("Executed")]
    assert startup["level"] == "INFO"
    assert len(startup["invocation"]) == 8
