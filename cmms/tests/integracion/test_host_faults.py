"""What the host's code and its database raise."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, SuspiciousOperation
from django.db import IntegrityError, InternalError, NotSupportedError, transaction
from django.db.models.signals import post_save, pre_save
from django.http import Http404
from django.test import Client

from demo.inventario.models import Activo

from .helpers import address_of, forget, make_asset, messages
from .hosts import patch, post, raising, receiving

pytestmark = pytest.mark.django_db


class NotOurs(Exception):
    """An error of a library that the host uses."""


RAISED = [
    *(ValueError("wrong"), KeyError("name"), TypeError("'NoneType'"), AttributeError("x"), RuntimeError("no")),
    *(ZeroDivisionError(), RecursionError("deep"), NotImplementedError(), LookupError(), OSError(28, "No space")),
    *(PermissionDenied("not allowed"), Http404("gone"), SuspiciousOperation("odd"), ObjectDoesNotExist()),
    *(NotOurs("theirs"), AssertionError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), NotSupportedError("x")),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["save", "before the save", "after the save", "clean"])
def test_whatever_the_hosts_code_raises_is_that_records_422(
    api: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    address = f"/integracion/activos/{make_asset('0001').pk}/"
    forget()

    def fail(*_: Any, **__: Any) -> None:
        raise error

    signal = {"before the save": pre_save, "after the save": post_save}.get(where)
    if signal is None:
        monkeypatch.setattr(Activo, where, fail)
    with receiving(signal or pre_save, fail if signal else lambda **_: None):
        answers = [patch(api, address, {"nombre": "y"}), post(api, {"codigo_interno": "2", "nombre": "y"})]
    for answer in answers:
        assert answer.status_code == 422
        assert answer.json()["error"]["codigo"] in {"rechazado_por_el_cmms", "rechazado_por_la_base"}
    assert list(Activo.objects.values_list("codigo_interno", "nombre")) == [("0001", "Bomba")]
    assert messages() == []


def test_a_refusal_of_the_hosts_code_says_what_was_raised(api: Client) -> None:
    with receiving(pre_save, raising(PermissionDenied("only the owner\nsecond line"))):
        answer = post(api, {"codigo_interno": "1", "nombre": "x"})
    assert "PermissionDenied: only the owner" in answer.json()["error"]["mensaje"]
    assert "second line" not in answer.json()["error"]["mensaje"]


@pytest.mark.parametrize("error", [InternalError("cannot execute UPDATE in a read-only transaction")])
def test_a_database_that_takes_no_writes_is_503(api: Client, error: Exception) -> None:
    make_asset()
    with receiving(pre_save, raising(error)):
        assert patch(api, address_of("0001"), {"nombre": "y"}).status_code == 503


def test_a_host_that_goes_on_after_an_error_of_the_database_gets_422(api: Client) -> None:
    make_asset("taken")

    def careless(instance: Activo, **_: Any) -> None:
        if instance.codigo_interno == "1":
            with suppress(IntegrityError):
                make_asset("taken")

    with receiving(pre_save, careless):
        assert post(api, {"codigo_interno": "1", "nombre": "x"}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_a_callback_that_fails_after_the_commit_does_not_deny_the_write(
    api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def later(**_: Any) -> None:
        transaction.on_commit(lambda: 1 / 0)

    with receiving(post_save, later):
        answer = post(api, {"codigo_interno": "1", "nombre": "x"})
    assert (answer.status_code, answer.json()["clave"]) == (201, "1")
    assert Activo.objects.exists()
    assert "a callback after the commit failed" in caplog.text


def test_what_the_api_itself_fails_at_is_500_in_its_form(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integracion_dynamics.api.listing.existing", raising(KeyError("ours")))
    api.raise_request_exception = False
    answer = api.get("/integracion/activos/?clave=1")
    assert (answer.status_code, answer.json()["error"]["codigo"]) == (500, "error_interno")
