"""What `manage.py check` says of models, databases and middleware."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anfitrion.models import Equipo
from django.contrib.auth.models import User
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.utils import translation

from integracion_dynamics import signals
from integracion_dynamics.checks import check_configuration, check_service_user

METER = {
    "EVENT": "meter",
    "QUEUE": "meters",
    "MODEL": "anfitrion.Medidor",
    "KEY": "codigo",
    "FIELDS": {"codigo": "codigo"},
}


def found(number: str) -> list[checks.CheckMessage]:
    with translation.override("en"):
        return [message for message in check_configuration() if message.id == f"integracion_dynamics.{number}"]


@pytest.fixture
def entity(configuration: dict[str, Any], settings: Any) -> dict[str, Any]:
    """The entity of meters, which a test may change before it checks."""
    changed = copy.deepcopy(configuration)
    changed["ENTITIES"]["medidores"] = dict(METER)
    settings.INTEGRACION_DYNAMICS = changed
    options: dict[str, Any] = changed["ENTITIES"]["medidores"]
    return options


def test_the_tests_own_host_has_nothing_to_tell() -> None:
    told = {message.id for message in check_configuration()}
    assert told == {"integracion_dynamics.W002"}, "which says that there is no broker"


def test_local_times_are_an_error_and_stop_the_start(settings: Any) -> None:
    settings.USE_TZ = False
    assert len(found("E012")) == 1
    with pytest.raises(ImproperlyConfigured, match="USE_TZ"):
        signals.connect()


def test_columns_that_a_create_cannot_fill_are_named_until_defaults_fill_them(entity: dict[str, Any]) -> None:
    (warning,) = found("W003")
    assert "it requires responsable" in warning.msg
    entity["DEFAULTS"] = {"responsable": "Dynamics 365"}
    assert found("W003") == []


def test_a_delete_by_the_database_is_told(
    configuration: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Django 6.1 has it; a relation of an older one is told apart by the same name.
    by_database = getattr(models, "DB_CASCADE", object())
    monkeypatch.setattr(models, "DB_CASCADE", by_database, raising=False)
    monkeypatch.setattr(Equipo._meta.get_field("taller").remote_field, "on_delete", by_database)
    equipment = {**METER, "MODEL": "anfitrion.Equipo"}
    settings.INTEGRACION_DYNAMICS = {**configuration, "ENTITIES": {"equipos": equipment}}
    (warning,) = found("W004")
    assert "Equipo.taller" in warning.msg


def test_a_replica_is_told_and_another_database_is_an_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("I001") == found("E011") == []
    monkeypatch.setattr("django.db.router.db_for_read", lambda *_, **__: "replica")
    assert len(found("I001")) == 2
    monkeypatch.setattr("django.db.router.db_for_write", lambda model, **_: model._meta.app_label)
    monkeypatch.setattr("integracion_dynamics.checks._collation", lambda _: [])
    assert len(found("E011")) == 2


def test_a_collation_that_ignores_case_is_told_on_mysql(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("W006") == []
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    assert [warning.msg.partition(" ")[0] for warning in found("W006")] == [
        "Activo.codigo_interno",
        "Requisicion.numero_requisicion",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, 0), ({"isolation_level": "read committed"}, 0), ({"isolation_level": None}, 1)],
    ids=str,
)
def test_transactions_that_read_an_older_state_are_told_on_mysql(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: int
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", {"isolation_level": None})
    assert found("W008") == []
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)
    assert len(found("W008")) == told


@pytest.mark.parametrize(
    ("middleware", "told"),
    [
        ("django.contrib.auth.middleware.LoginRequiredMiddleware", 0),
        ("login_required.middleware.LoginRequiredMiddleware", 1),
        ("host.middleware.login_required_everywhere", 1),
        ("host.middleware.audit", 0),
    ],
)
def test_middleware_that_may_ask_for_a_login_is_told(settings: Any, middleware: str, told: int) -> None:
    settings.MIDDLEWARE = [middleware]
    assert len(found("W007")) == told


def test_a_service_user_must_be_somebody(configuration: dict[str, Any], settings: Any, db: None) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "SERVICE_USER": "dynamics"}
    assert check_service_user() == []
    assert [error.id for error in check_service_user(databases=["default"])] == ["integracion_dynamics.E013"]
    User.objects.create_user("dynamics")
    assert check_service_user(databases=["default"]) == []
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if not name.startswith("django.contrib.a")]
    assert len(found("E013")) == 1
