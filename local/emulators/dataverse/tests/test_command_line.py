"""`python -m local.emulators.dataverse` as a process, with a webhook that arrives at a real receiver."""

import json
import signal
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx

from local.emulators.dataverse import __version__
from local.emulators.identity import mint_token

ARGUMENTS = [sys.executable, "-m", "local.emulators.dataverse"]
KEY = "k" * 32
AUDIENCE = "http://127.0.0.1:1"


def configuration(folder: Path, **changes: Any) -> Path:
    path = folder / "dataverse.json"
    values = {"signing_key": KEY, "audience": AUDIENCE, "users": [{"name": "Integration", "application_id": "app-1"}]}
    path.write_text(json.dumps(values | changes), encoding="utf-8")
    return path


def test_it_serves_with_tls_posts_webhooks_and_stops_on_a_signal(tmp_path: Path) -> None:
    received: Queue[tuple[str, dict[str, Any]]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.put((self.headers["x-key"], body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        webhook = {
            "url": f"http://127.0.0.1:{receiver.server_port}/hook",
            "table": "salesorder",
            "auth": {"x-key": "secret"},
        }
        config = configuration(tmp_path, webhooks=[webhook])
        certificate = tmp_path / "made.pem"
        with subprocess.Popen(  # noqa: S603  # our own module
            [*ARGUMENTS, "--config", str(config), "--certificate", str(certificate)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip().removeprefix("dataverse ready ")
            token = mint_token(KEY, resource=AUDIENCE, client_id="app-1")
            assert url.startswith("https://")
            trusting = ssl.create_default_context(cafile=certificate)
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, trust_env=False, verify=trusting) as client:
                created = client.post("/api/data/v9.2/salesorders", json={"name": "R-1"})
                key, body = received.get(timeout=60)
                deliveries = client.get("/_emulator/webhooks").json()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in {0, -signal.SIGTERM}
        receiver.shutdown()
        thread.join()
    assert created.status_code == 204
    assert (key, body["MessageName"], body["PrimaryEntityName"]) == ("secret", "Create", "salesorder")
    assert body["PrimaryEntityId"] in created.headers["OData-EntityId"]
    assert "secret" not in json.dumps(deliveries)


def test_it_stops_with_its_stdin(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603  # our own module
        [*ARGUMENTS, "--config", str(configuration(tmp_path)), "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("dataverse ready http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_wrong_configuration_is_refused_naming_the_place(tmp_path: Path) -> None:
    config = configuration(tmp_path, signing_key="short-key", nonsense=1)
    result = subprocess.run(  # noqa: S603  # our own module
        [*ARGUMENTS, "--config", str(config)], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 2
    assert "signing_key" in result.stderr
    assert "nonsense" in result.stderr
    assert "short-key" not in result.stderr


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    certificate = tmp_path / "broken.pem"
    certificate.write_text("no PEM")
    arguments = [*ARGUMENTS, "--config", str(configuration(tmp_path)), "--certificate", str(certificate)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603  # our own
    assert result.returncode == 2
    assert "broken.pem cannot be used" in result.stderr


def test_it_says_its_version() -> None:
    shown = subprocess.run([*ARGUMENTS, "--version"], capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert shown.stdout.strip() == f"dataverse emulator {__version__}"
