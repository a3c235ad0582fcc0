import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.emulators.functions_host.tests.running import APPS, MASTER, RunningHost, running, start, until


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    # A schedule that never comes during the tests: the timer runs only on demand.
    with running(APPS / "web", tmp_path_factory.mktemp("web"), {"EVERY": "0 0 0 29 2 *"}) as running_host:
        yield running_host


def raw(host: RunningHost, request: bytes) -> bytes:
    url = host.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        connection.sendall(request)
        connection.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
            answer += part
        return answer


def echo(host: RunningHost, url: str = "/api/echo/k", **request: Any) -> dict[str, Any]:
    response = host.client.request(request.pop("method", "POST"), url, **request)
    assert response.status_code == 200, host.log
    document: dict[str, Any] = response.json()
    return document


def test_bytes_of_a_body_arrive_unchanged(host: RunningHost) -> None:
    assert echo(host, content=b"\x00\xff\xfe{")["body"] == "00fffe7b"


def test_a_function_sees_method_url_route_and_query(host: RunningHost) -> None:
    seen = echo(host, "/api/echo/a%2Fb%20c/12?x=1&X=2&empty=&plus=a+b", method="PUT")

    assert seen["method"] == "PUT"
    assert seen["url"] == f"{host.client.base_url}/api/echo/a%2Fb%20c/12?x=1&X=2&empty=&plus=a+b"
    assert seen["route"] == {"key": "a%2Fb c", "rest": "12"}
    assert seen["query"] == {"x": "1,2", "plus": "a b"}


def test_repeated_headers_are_joined_and_names_are_lower_case(host: RunningHost) -> None:
    seen = echo(host, headers=[("X-Two", "a"), ("x-two", "b"), ("X-Empty", "")])

    assert seen["headers"]["x-two"] == "a,b"
    assert seen["headers"]["x-empty"] == ""


def test_a_header_that_is_not_utf8_is_refused(host: RunningHost) -> None:
    answer = raw(host, b"GET /api/only-get HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_body_without_content_length_is_lost_as_in_azure(host: RunningHost) -> None:
    assert echo(host, content=iter([b"chunk"]))["body"] == ""
    assert "loses its body" in host.log


def test_a_compressed_body_arrives_as_it_was_sent(host: RunningHost) -> None:
    assert echo(host, content=b"no gzip", headers={"Content-Encoding": "gzip"})["body"] == b"no gzip".hex()


def test_a_malformed_request_is_refused_without_quoting_it_in_the_log(host: RunningHost) -> None:
    answer = raw(host, b"GET /api/only-get HTTP/1.1\r\nHost: x\r\nX-Functions-Key: topsecret\x00\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 400 ")
    host.wait_for_log("A malformed HTTP request was refused")
    assert "topsecret" not in host.log


def test_a_caller_that_leaves_in_the_middle_of_a_body_leaves_no_traceback(host: RunningHost) -> None:
    url = host.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        connection.sendall(b"POST /api/echo/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    echo(host)

    assert "Error handling request" not in host.log


def test_a_body_over_100_mb_is_refused_before_it_is_sent(host: RunningHost) -> None:
    length = 100 * 1024 * 1024 + 1
    answer = raw(host, f"POST /api/echo/k HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_many_megabytes_arrives(host: RunningHost) -> None:
    assert echo(host, content=b"x" * 20_000_000)["body"] == 20_000_000


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/only-get"), ("GET", "/api/nothing"), ("POST", "/api/only-get"), ("HEAD", "/api/only-get")],
)
def test_an_unknown_path_or_method_is_404_without_a_body(host: RunningHost, method: str, path: str) -> None:
    response = host.client.request(method, path)

    assert (response.status_code, response.content) == (404, b"")
    assert "content-type" not in response.headers


def test_head_is_served_without_a_body_where_the_function_takes_it(host: RunningHost) -> None:
    response = host.client.head("/api/echo/k")

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("shape/fixed", "fixed"),
        ("SHAPE/Fixed/", "fixed"),
        ("shape/12", "number 12"),
        ("shape/abc", "name abc"),
        ("files/a/b.txt", "a/b.txt"),
        ("files", "none"),
    ],
)
def test_the_most_specific_route_answers(host: RunningHost, path: str, text: str) -> None:
    response = host.client.get(f"/api/{path}")

    assert (response.status_code, response.text) == (200, text)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("guarded", {}, 401),
        ("guarded", {"x-functions-key": "wrong"}, 401),
        ("guarded", {"x-functions-key": "the-function-key"}, 200),
        ("guarded?code=the-function-key", {}, 200),
        ("guarded", MASTER, 200),
        ("master", {"x-functions-key": "the-function-key"}, 401),
        ("master?code=the-master-key", {}, 200),
    ],
)
def test_keys_open_what_they_are_for(host: RunningHost, path: str, headers: dict[str, str], status: int) -> None:
    response = host.client.get(f"/api/{path}", headers=headers)

    assert response.status_code == status
    assert "the-master-key" not in host.log


def test_status_headers_and_bytes_of_an_answer_arrive(host: RunningHost) -> None:
    response = host.client.get("/api/answer/teapot")

    assert (response.status_code, response.content) == (418, b"\x00\xff")
    assert response.headers["x-kind"] == "teapot"
    assert response.headers["content-length"] == "2"
    assert host.client.get("/api/answer/empty").status_code == 204


def test_each_cookie_of_an_answer_has_its_own_header(host: RunningHost) -> None:
    cookies = host.client.get("/api/answer/cookies").headers.get_list("set-cookie")

    assert cookies == [
        "a=1; HttpOnly; Max-Age=60; Path=/",
        "b=2; expires=Wed, 21 Oct 2037 07:28:00 GMT; SameSite=Strict",
    ]


@pytest.mark.parametrize("kind", ["raises", "none", "status", "exit"])
def test_a_failed_function_is_an_empty_500(host: RunningHost, kind: str) -> None:
    response = host.client.get(f"/api/answer/{kind}")

    assert (response.status_code, response.content) == (500, b"")


def test_the_traceback_of_a_failure_is_logged_without_secrets(host: RunningHost) -> None:
    host.client.get("/api/answer/raises")

    assert 'raise LookupError("no such kind' in host.log
    assert "topsecret" not in host.log
    assert "\nforged line" not in host.log


def test_a_function_over_its_time_limit_is_cancelled(host: RunningHost) -> None:
    assert host.client.get("/api/slow?seconds=60").status_code == 500
    assert "longer than the functionTimeout" in host.log


def test_a_blocking_function_stalls_other_functions_only(host: RunningHost) -> None:
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=host.client.base_url, timeout=60) as other:
        blocked = pool.submit(other.get, "/api/block?seconds=3")
        until(lambda: "Executing 'Functions.block'" in host.log, "the function blocks")
        assert host.client.get("/admin/host/status").json() == {"state": "Running"}
        assert not blocked.done()
        assert blocked.result().text == "done"


def test_user_logs_carry_the_name_of_their_function(host: RunningHost) -> None:
    host.client.get("/api/log?text=hello")

    line = next(line for line in host.log.splitlines() if "root says hello" in line)
    assert " INFO     log " in line
    named = next(line for line in host.log.splitlines() if line.endswith(r"named says\nsplit"))
    assert " WARNING  log " in named
    assert "never shown" not in host.log


def test_log_levels_of_host_json_hold_per_function(host: RunningHost) -> None:
    host.client.get("/api/quiet")

    assert "shouted" in host.log
    assert "whispered" not in host.log
    assert "Functions.quiet" not in host.log


@pytest.mark.parametrize("path", ["functions", "host/metrics", "anything"])
def test_admin_needs_the_master_key(host: RunningHost, path: str) -> None:
    assert host.client.get(f"/admin/{path}").status_code == 401
    assert host.client.get(f"/admin/{path}?code=the-function-key").status_code == 401


def test_admin_lists_the_functions(host: RunningHost) -> None:
    listed = {entry["name"]: entry for entry in host.client.get("/admin/functions", headers=MASTER).json()}

    assert listed["only_get"]["methods"] == ["GET"]
    assert listed["only_get"]["invoke_url_template"].endswith("/api/only-get")
    assert listed["tick"] == {"name": "tick", "trigger": "timerTrigger", "schedule": "0 0 0 29 2 *"}


def test_metrics_count_invocations_and_failures(host: RunningHost) -> None:
    def figures() -> dict[str, Any]:
        answer: dict[str, Any] = host.client.get("/admin/host/metrics", headers=MASTER).json()
        return answer

    before = figures()["functions"]["answer"]
    host.client.get("/api/answer/raises")
    host.client.get("/api/answer/empty")
    after = figures()

    assert after["functions"]["answer"]["invocations"] - before["invocations"] == 2
    assert after["functions"]["answer"]["failures"] - before["failures"] == 1
    assert after["process"]["cpu_seconds"] > after["process"]["worker_cpu_seconds"] > 0
    assert 20 < after["process"]["peak_rss_mb"] < 2000


def test_admin_runs_a_timer_now_and_never_twice_at_once(host: RunningHost) -> None:
    for _ in range(2):
        response = host.client.post("/admin/functions/tick", json={"input": ""}, headers=MASTER)
        assert response.status_code == 202

    def state() -> dict[str, Any]:
        answer: dict[str, Any] = host.client.get("/api/ticks").json()
        return answer

    until(lambda: (now := state())["runs"] >= 2 and not now["running"], "two runs")
    assert state()["most"] == 1
    assert state()["past_due"] is False
    assert state()["next"].endswith("-02-29T00:00:00+00:00")


def test_run_on_startup_runs_once(host: RunningHost) -> None:
    assert host.client.get("/api/ticks").json()["yearly"] == 1


@pytest.mark.parametrize(
    ("name", "body", "status"), [("echo", {"input": ""}, 400), ("nothing", {"input": ""}, 404), ("tick", [], 400)]
)
def test_admin_refuses_to_run_what_is_no_timer(host: RunningHost, name: str, body: object, status: int) -> None:
    response = host.client.post(f"/admin/functions/{name}", json=body, headers=MASTER)

    assert response.status_code == status


def test_a_port_in_use_is_said(host: RunningHost, tmp_path: Path) -> None:
    port = host.client.base_url.port
    log = tmp_path / "log"
    with log.open("wb") as output:
        second = start(APPS / "web", {"EVERY": "0 0 0 29 2 *"}, ["--port", str(port)], output.fileno())
    with second:
        try:
            assert second.wait(60) == 1
        finally:
            second.kill()

    assert f"Port {port} of 127.0.0.1 cannot be listened on" in log.read_text()


def test_a_timer_that_fails_is_retried_as_its_policy_says_and_told_so(host: RunningHost) -> None:
    response = host.client.post("/admin/functions/stubborn", json={"input": ""}, headers=MASTER)
    assert response.status_code == 202

    host.wait_for_log("Executed 'Functions.stubborn' (Failed", 3)
    assert host.client.get("/api/ticks").json()["attempts"] == [[0, 2, False], [1, 2, True], [2, 2, True]]


def test_the_root_has_a_homepage(host: RunningHost) -> None:
    response = host.client.get("/")

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert host.client.get("/nothing").status_code == 404
