import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.emulators.functions_host.connection import connector
from local.emulators.functions_host.errors import StartError
from local.emulators.functions_host.functions import TimerTrigger, describe
from local.emulators.functions_host.host_json import load_host_json
from local.emulators.functions_host.logs import set_up_logging
from local.emulators.functions_host.routes import Route
from local.emulators.functions_host.settings import load_local_settings, resolve, setting


def indexed(name: str = "f", **binding: Any) -> SimpleNamespace:
    return SimpleNamespace(name=name, function_id="1", raw_bindings=[json.dumps({"name": "x", **binding})])


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ({"type": "serviceBusTrigger", "connection": "c", "topicName": "t"}, "not topics or sessions"),
        ({"type": "serviceBusTrigger", "connection": "c", "queueName": "q", "isSessionsEnabled": True}, "sessions"),
        ({"type": "timerTrigger", "schedule": "every day"}, "'every day' is not an NCRONTAB expression"),
        ({"type": "timerTrigger", "schedule": "0 0 0 31 2 *"}, "ever due"),
        ({"type": "httpTrigger", "route": "x/{a:range(1,2)}"}, "api/x/{a:range(1,2)}"),
        ({"type": "httpTrigger", "route": "x/{a:odd}"}, "constraint 'odd'"),
        ({"type": "httpTrigger", "route": "%NOT_SET_ANYWHERE%"}, "NOT_SET_ANYWHERE is not set"),
        ({"type": "blobTrigger"}, "blobTrigger are not served"),
        ({"type": "http"}, "has no trigger"),
    ],
)
def test_a_binding_that_cannot_be_served_names_the_function_and_the_reason(binding: dict[str, Any], said: str) -> None:
    with pytest.raises(StartError, match="Function 'f'") as raised:
        describe([indexed(**binding)], "api")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("schedule", "more", "monitored"),
    [
        ("0 */15 * * * *", {}, True),
        ("00:01:00", {}, True),
        ("*/5 * * * * *", {}, False),
        ("00:00:30", {}, False),
        ("0 */15 * * * *", {"useMonitor": False}, False),
    ],
)
def test_a_timer_below_one_minute_has_no_status(schedule: str, more: dict[str, Any], monitored: bool) -> None:
    (function,) = describe([indexed(type="timerTrigger", schedule=schedule, **more)], "api")

    assert isinstance(function.trigger, TimerTrigger)
    assert function.trigger.monitored is monitored


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(StartError, match="2 functions are named 'f'"):
        describe([indexed("f", type="httpTrigger", route="a"), indexed("F", type="httpTrigger", route="b")], "api")


def test_two_functions_on_one_route_are_refused_unless_their_methods_differ() -> None:
    get = indexed("f", type="httpTrigger", route="x/{a}", methods=["GET"])
    post = indexed("g", type="httpTrigger", route="X/{b}", methods=["POST"])
    both = indexed("h", type="httpTrigger", route="x/{c}")

    assert len(describe([get, post], "api")) == 2
    with pytest.raises(StartError, match=r"'f' and 'h' both serve the route /api/x/{c}"):
        describe([get, both], "api")


def test_an_empty_route_prefix_puts_functions_at_the_root() -> None:
    (function,) = describe([indexed(type="httpTrigger", route="a/{b}")], "")

    assert isinstance(route := getattr(function.trigger, "route", None), Route)
    assert route.match("/a/1") == {"b": "1"}
    assert route.match("/api/a/1") is None


def test_host_json_gives_durations_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:10:00"}')

    host_json = load_host_json(tmp_path, {})

    assert host_json.function_timeout == timedelta(minutes=10)
    assert host_json.extensions.http.route_prefix == "api"
    assert host_json.extensions.service_bus.max_concurrent_calls == 16


@pytest.mark.parametrize(
    "text",
    [
        """{"version": "2.0", "Extensions": {"SERVICEBUS": {"PrefetchCount": 7}},
            "LOGGING": {"loglevel": {"Default": "x"}}}""",
        """{
          // a comment with "quotes"
          "version": "2.0", /* another
          one */ "extensions": {"serviceBus": {"prefetchCount": 7}}, // and one more
          "logging": {"logLevel": {"default": "x"}}, "note": "no // comment /* here"
        }""",
        """\ufeff{"version": "2.0", "extensions": {"serviceBus": {"prefetchCount": 7}},
            "logging": {"logLevel": {"default": "x"}}}""",
    ],
    ids=["names in another case", "comments", "a byte order mark"],
)
def test_host_json_is_read_as_leniently_as_azure_reads_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "host.json").write_text(text, encoding="utf-8")

    host_json = load_host_json(tmp_path, {})

    assert host_json.extensions.service_bus.prefetch_count == 7
    assert list(host_json.logging.log_level.values()) == ["x"]


@pytest.mark.parametrize("spelling", ["serviceBus__maxMessageBatchSize", "SERVICEBUS__MAXMESSAGEBATCHSIZE"])
def test_an_override_in_any_case_reaches_the_section_that_the_file_has(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"ServiceBus": {"prefetchCount": 7}}}')

    options = load_host_json(tmp_path, {f"AzureFunctionsJobHost__extensions__{spelling}": "9"}).extensions.service_bus

    assert (options.prefetch_count, options.max_message_batch_size) == (7, 9)


def test_app_settings_override_host_json(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    name = "AzureFunctionsJobHost__extensions__serviceBus__maxMessageBatchSize"

    assert load_host_json(tmp_path, {name: "7"}).extensions.service_bus.max_message_batch_size == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("{}", 'needs "version": "2.0"'),
        ('{"version": "2.0", "functionTimeout": "soon"}', "functionTimeout"),
        ('{"version": "2.0", "functionTimeout": "00:99:00"}', "functionTimeout"),
        (
            '{"version": "2.0", "extensions": {"serviceBus": {"prefetchCount": -1}}}',
            "extensions.serviceBus.prefetchCount",
        ),
    ],
)
def test_a_wrong_host_json_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "host.json").write_text(text)

    with pytest.raises(StartError) as raised:
        load_host_json(tmp_path, {})
    assert said in str(raised.value)


def test_a_log_level_that_azure_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="logLevel has Loud"):
        set_up_logging({"default": "Loud"}, as_json=False)


def test_local_settings_do_not_override_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_TEST_SET", "environment")
    monkeypatch.setenv("HOST_TEST_UNSET", "")
    monkeypatch.delenv("HOST_TEST_UNSET")
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"HOST_TEST_SET": "file", "HOST_TEST_UNSET": "file"}}))

    load_local_settings(file)

    assert (setting("HOST_TEST_SET"), setting("HOST_TEST_UNSET")) == ("environment", "file")
    assert resolve("a-%HOST_TEST_SET%-b", function="f", attribute="queue_name") == "a-environment-b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "needs the form"),
        ('{"Values": {"PORT": 1}}', "PORT in"),
        ('{"IsEncrypted": true}', "is encrypted"),
    ],
)
def test_a_wrong_settings_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(text)

    with pytest.raises(StartError) as raised:
        load_local_settings(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)


async def test_a_namespace_with_an_identity_is_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_TEST_BUS__fullyQualifiedNamespace", "example.servicebus.windows.net")
    monkeypatch.setenv("HOST_TEST_BUS__credential", "managedidentity")

    async with connector("HOST_TEST_BUS", function="f")() as client:
        assert client.fully_qualified_namespace == "example.servicebus.windows.net"


def test_a_connection_may_have_the_prefix_of_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsHOST_TEST_BUS", "Endpoint=sb://x;SharedAccessKeyName=n;SharedAccessKey=k")

    assert callable(connector("HOST_TEST_BUS", function="f"))


def test_a_connection_string_that_is_none_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_TEST_BUS", "Endpoint=sb://x;SharedAccessKey=topsecret")

    with pytest.raises(StartError, match="HOST_TEST_BUS is not a Service Bus connection string") as raised:
        connector("HOST_TEST_BUS", function="f")
    assert "topsecret" not in str(raised.value)
