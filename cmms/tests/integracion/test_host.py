"""A host as hosts are: other models, other middleware, rules and faults of its own."""

from __future__ import annotations

import copy
import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import django
import pytest
from anfitrion.models import Equipo, EquipoRevisado, Grua, Lectura, Medidor, Taller, Tipo
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, SuspiciousOperation, ValidationError
from django.db import IntegrityError, InternalError, NotSupportedError, connection, transaction
from django.db.models import DecimalField, ExpressionWrapper, F
from django.db.models.signals import post_save, pre_save
from django.http import Http404
from django.test import Client
from django.urls import resolve, reverse
from django.utils.module_loading import import_string

from demo.inventario.models import Activo
from integracion_dynamics import signals
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import address_of, forget, make_asset, messages

pytestmark = pytest.mark.django_db

TOTAL = ExpressionWrapper(F("neto") + F("isv"), output_field=DecimalField(max_digits=13, decimal_places=2))
EQUIPOS: dict[str, Any] = {
    "EVENT": "equipment",
    "QUEUE": "equipment",
    "MODEL": "anfitrion.Equipo",
    "KEY": "codigo",
    "FIELDS": {"codigo": "codigo", "nombre": "nombre", "revisado_en": "revisado_en", "total": TOTAL},
}


@pytest.fixture
def host(configuration: dict[str, Any], settings: Any) -> Callable[..., None]:
    """Change the entities, as at the start of a process."""

    def change(**entities: Any) -> None:
        changed = copy.copy(configuration)
        changed["ENTITIES"] = {**configuration["ENTITIES"], **entities}
        settings.INTEGRACION_DYNAMICS = changed
        signals.connect()

    return change


@contextmanager
def receiving(signal: Any, receiver: Callable[..., None], sender: Any = Activo) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def raising(error: BaseException) -> Callable[..., None]:
    def receiver(**_: Any) -> None:
        raise error

    return receiver


def post(api: Client, fields: Any, entity: str = "activos", **headers: str) -> Any:
    address = f"/integracion/{entity}/"
    return api.post(address, {"campos": fields}, content_type="application/json", headers=headers)


def patch(api: Client, address: str, fields: Any, **headers: str) -> Any:
    return api.patch(address, {"campos": fields}, content_type="application/json", headers={"If-Match": "*", **headers})


# What the host has around the app


def test_the_hosts_reverse_works_with_the_apps_addresses_and_so_does_its_admin(admin_client: Client) -> None:
    assert reverse("inicio") == "/"
    assert (
        reverse("integracion_dynamics:registro", kwargs={"entidad": "activos", "id": "a/b"})
        == "/integracion/activos/a/b/"
    )
    assert admin_client.get(reverse("admin:index")).status_code == 200


SHIPPED = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.BrokenLinkEmailsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "integracion_dynamics.middleware.traceparent",
]


def there(name: str) -> bool:
    """Whether this Django has the middleware: some came with 5.1 or 6.0."""
    try:
        import_string(name)
    except ImportError:
        return False
    return True


SHIPPED = [name for name in SHIPPED if there(name)]
needs_login_middleware = pytest.mark.skipif(django.VERSION < (5, 1), reason="LoginRequiredMiddleware came with 5.1")


@pytest.fixture
def every_middleware(settings: Any) -> None:
    settings.MIDDLEWARE = SHIPPED
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


def test_with_every_middleware_that_django_ships_the_api_reads_and_writes(api: Client, every_middleware: None) -> None:
    strict = Client(enforce_csrf_checks=True, headers={})
    strict.defaults.update(api.defaults)
    created = post(strict, {"codigo_interno": "1", "nombre": "x"}, **{"Operation-Id": "a"})
    assert created.status_code == 201, created.content
    address = f"/integracion/activos/{created.json()['id']}/"
    assert strict.get(address).json() == created.json()
    assert patch(strict, address, {"nombre": "y"}, **{"If-Match": created.json()["etag"]}).status_code == 200
    listed = strict.get("/integracion/activos/", headers={"Accept-Encoding": "gzip", "Accept-Language": "es"})
    assert listed.status_code == 200


def test_the_etag_in_the_body_serves_also_where_a_middleware_weakens_the_headers(
    api: Client, every_middleware: None
) -> None:
    make_asset(nombre="x" * 200)  # long enough to be compressed
    answer = api.get(address_of("0001"), headers={"Accept-Encoding": "gzip"})
    assert answer["ETag"].startswith("W/")
    body = json.loads(gzip.decompress(answer.content))
    assert patch(api, address_of("0001"), {"nombre": "y"}, **{"If-Match": answer["ETag"]}).status_code == 412
    assert patch(api, address_of("0001"), {"nombre": "y"}, **{"If-Match": body["etag"]}).status_code == 200


def test_a_write_has_a_transaction_of_its_own_also_where_each_request_has_one() -> None:
    assert resolve("/integracion/activos/").func.__dict__["_non_atomic_requests"] == {"default"}


def test_no_cache_serves_an_old_record_or_one_without_a_token(api: Client, every_middleware: None) -> None:
    asset = make_asset(nombre="old")
    address = address_of("0001")
    assert api.get(address).json()["campos"]["nombre"] == "old"
    asset.nombre = "new"
    asset.save()
    assert api.get(address).json()["campos"]["nombre"] == "new"
    assert Client().get(address).status_code == 401
    assert "no-store" in api.get(address)["Cache-Control"]


@needs_login_middleware
def test_the_page_of_a_person_is_sent_to_the_login_and_the_api_is_not(every_middleware: None, settings: Any) -> None:
    settings.LOGIN_URL = "/admin/login/"
    assert Client().get("/").status_code == 302
    assert Client().get("/integracion/activos/").status_code == 401


def test_writes_by_the_api_are_the_service_users(
    api: Client, configuration: dict[str, Any], settings: Any, every_middleware: None
) -> None:
    seen: list[Any] = []

    class Audit:
        """As history apps do: remember the request, and ask it at the save who acts."""

        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            with receiving(pre_save, lambda **_: seen.append(request.user.get_username())):
                return self.get_response(request)

    monkey = pytest.MonkeyPatch()
    monkey.setattr("integracion_dynamics.middleware.audit", Audit, raising=False)
    settings.MIDDLEWARE = [*SHIPPED, "integracion_dynamics.middleware.audit"]
    settings.INTEGRACION_DYNAMICS = {**configuration, "SERVICE_USER": "dynamics"}
    refused = post(api, {"codigo_interno": "1", "nombre": "x"})
    assert (refused.status_code, refused.json()["error"]["codigo"]) == (503, "mal_configurado")
    User.objects.create_user("dynamics")
    assert post(api, {"codigo_interno": "1", "nombre": "x"}).status_code == 201
    assert seen == ["dynamics"]
    monkey.undo()


def test_a_faulty_setting_is_answered_503_in_the_apis_form(
    api: Client, configuration: dict[str, Any], settings: Any
) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "TOKENS": [""]}
    answer = api.get("/integracion/activos/")
    assert (answer.status_code, answer.json()["error"]["codigo"]) == (503, "mal_configurado")


# What the host's code raises


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


# Rules of the host's models


def test_a_patch_is_not_refused_for_a_fault_that_the_record_had_before(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", serie="bad")
    address = f"/integracion/equipos/{equipment.pk}/"
    assert patch(api, address, {"nombre": "y"}).status_code == 200
    assert Equipo.objects.get().nombre == "y"


def test_a_patch_is_refused_for_a_fault_that_it_makes_in_another_column(
    api: Client, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean(self: Equipo) -> None:
        if self.nombre == "y":
            raise ValidationError({"serie": "is required with this name"})

    monkeypatch.setattr(Equipo, "clean", clean)
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1")
    answer = patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "y"})
    assert (answer.status_code, answer.json()["error"]["campo"]) == (422, "serie")


def test_a_record_behind_a_manager_that_joins_and_aggregates_is_written(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", taller=Taller.objects.create(nombre="t"))
    Lectura.objects.create(equipo=equipment)
    answer = patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "y"}, **{"Operation-Id": "o"})
    assert (answer.status_code, answer.json()["operaciones"]) == (200, ["o"])


MEDIDORES: dict[str, Any] = {
    "EVENT": "meter",
    "QUEUE": "meters",
    "MODEL": "anfitrion.Medidor",
    "KEY": "codigo",
    "FIELDS": {"codigo": "codigo", "notas": "notas", "resumen": lambda meter: f"{meter.codigo}: {meter.responsable}"},
    "DEFAULTS": {"responsable": "Dynamics 365", "notas": lambda meter: f"made as {meter.codigo}"},
}


def test_a_uuid_names_its_record_in_any_spelling(api: Client, host: Callable[..., None]) -> None:
    host(medidores=MEDIDORES)
    meter = Medidor.objects.create(codigo="M", responsable="r")
    for spelling in (str(meter.pk), str(meter.pk).upper(), meter.pk.hex):
        assert api.get(f"/integracion/medidores/{spelling}/").json()["id"] == str(meter.pk)
    body = {"ids": [str(meter.pk).upper(), str(meter.pk), str(uuid.uuid4())]}
    found = api.post("/integracion/medidores/consulta/", body, content_type="application/json").json()["resultados"]
    assert [record["id"] for record in found] == [str(meter.pk)]
    assert patch(api, f"/integracion/medidores/{str(meter.pk).upper()}/", {"notas": "n"}).status_code == 200


@pytest.mark.parametrize("pk", ["a/b", "consulta", "salud", " a ", "ñ%2F?#", "a\nb", "007", "A", "a"])
def test_a_text_as_primary_key_may_hold_anything(api: Client, host: Callable[..., None], pk: str) -> None:
    host(
        tipos={
            "EVENT": "type",
            "QUEUE": "types",
            "MODEL": "anfitrion.Tipo",
            "KEY": "nombre",
            "FIELDS": {"nombre": "nombre"},
        }
    )
    Tipo.objects.create(codigo=pk, nombre="t")
    address = f"/integracion/tipos/{quote(pk, safe='')}/"
    record = api.get(address).json()
    assert record["id"] == pk
    assert patch(api, address, {"nombre": "t"}).status_code == 200
    assert api.get("/integracion/tipos/", {"id": pk}).json()["resultados"] == [record]
    assert api.get("/integracion/tipos/", {"limite": 1}).json()["resultados"] == [record]


def test_a_create_is_answered_as_the_host_stored_it_and_takes_the_defaults(
    api: Client, host: Callable[..., None]
) -> None:
    host(medidores=MEDIDORES)
    created = post(api, {"codigo": "abc"}, "medidores")
    assert created.status_code == 201
    assert created.json()["campos"] == {"codigo": "ABC", "notas": "made as abc", "resumen": "ABC: Dynamics 365"}
    assert post(api, {"codigo": "def", "notas": "given"}, "medidores").json()["campos"]["notas"] == "given"


def test_a_create_that_the_host_would_hide_leaves_nothing(
    api: Client, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(medidores=MEDIDORES)
    monkeypatch.setattr("integracion_dynamics.content.records", lambda entity, _: entity.model.objects.none())
    assert post(api, {"codigo": "abc"}, "medidores").status_code == 422
    assert not Medidor.objects.exists()
    assert messages() == []


def test_a_computed_field_is_read_and_announced_and_cannot_be_written(api: Client, host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    equipment = Equipo.objects.create(codigo="1", neto=Decimal(100), isv=Decimal(15))
    assert messages()[-1]["data"]["fields"]["total"] == "115.00"
    address = f"/integracion/equipos/{equipment.pk}/"
    assert api.get(address).json()["campos"]["total"] == "115.00"
    equipment.isv = Decimal(16)
    equipment.save()
    assert messages()[-1]["data"]["fields"]["total"] == "116.00"
    assert patch(api, address, {"total": "116.00", "nombre": "n"}).status_code == 200
    for answer in (patch(api, address, {"total": "1.00"}), post(api, {"codigo": "2", "total": "1.00"}, "equipos")):
        assert (answer.status_code, answer.json()["error"]["campo"]) == (422, "total")


@pytest.mark.parametrize("compute", [lambda _: 1 / 0, lambda row: row.absent, lambda _: 1.5, lambda _: object()])
def test_a_computed_field_that_fails_is_not_said_and_harms_nothing_else(
    api: Client, host: Callable[..., None], compute: Callable[[Any], Any]
) -> None:
    host(equipos={**EQUIPOS, "FIELDS": {"codigo": "codigo", "nombre": "nombre", "suma": compute}})
    equipment = Equipo.objects.create(codigo="1", nombre="n")
    assert messages()[-1]["data"]["fields"] == {"codigo": "1", "nombre": "n"}
    assert patch(api, f"/integracion/equipos/{equipment.pk}/", {"nombre": "m"}).status_code == 200


UNREADABLE = {"sqlite": "2026-13-45 00:00:00", "postgresql": "infinity", "mysql": "0000-00-00 00:00:00"}


def test_a_stored_value_that_cannot_be_read_costs_that_value_alone(
    api: Client, host: Callable[..., None], django_assert_max_num_queries: Any
) -> None:
    host(equipos=EQUIPOS)
    Equipo.objects.bulk_create([Equipo(codigo=f"{n:03}", nombre="n") for n in range(100)])
    with connection.cursor() as cursor:
        update = "UPDATE anfitrion_equipo SET revisado_en = %s WHERE codigo = '042'"
        cursor.execute(update, [UNREADABLE[connection.vendor]])
    with django_assert_max_num_queries(40):
        page = api.get("/integracion/equipos/").json()["resultados"]
    assert [record["clave"] for record in page] == [f"{n:03}" for n in range(100)]
    fields = {record["clave"]: record["campos"].keys() for record in page}
    assert fields["042"] == {"codigo", "nombre", "total"}
    assert fields["041"] == {"codigo", "nombre", "revisado_en", "total"}
    assert registrar_cambios(Equipo.objects.all()) == 100


# What is announced of related models


def test_a_child_is_announced_also_when_it_is_saved_through_its_parent(host: Callable[..., None]) -> None:
    host(gruas={**EQUIPOS, "MODEL": "anfitrion.Grua", "FIELDS": {"codigo": "codigo", "carga": "carga"}})
    crane = Grua.objects.create(codigo="g", carga=5)
    parent = Equipo.objects.get()
    parent.codigo = "h"
    parent.save()
    assert [event["subject"] for event in messages()] == ["g", "h"]
    Equipo.objects.filter(pk=crane.pk).update(codigo="i")
    assert registrar_cambios(Equipo.objects.all()) == 1
    assert registrar_cambios([parent]) == 0
    parent.delete()
    assert [event["type"] for event in messages()][-1] == "energy.equipment.deleted"
    assert not Grua.objects.exists()


def test_a_parent_is_announced_when_its_child_is_saved_and_deleted(host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    crane = Grua.objects.create(codigo="g", carga=5)
    crane.codigo = "h"
    crane.save()
    assert registrar_cambios([crane]) == 0
    crane.delete()
    assert [(event["subject"], event["type"].rpartition(".")[2]) for event in messages()] == [
        ("g", "upserted"),
        ("h", "upserted"),
        ("h", "deleted"),
    ]


@pytest.mark.parametrize("configured", ["anfitrion.Equipo", "anfitrion.EquipoRevisado"])
@pytest.mark.parametrize("saved", [Equipo, EquipoRevisado])
def test_a_proxy_and_its_model_announce_each_others_changes(
    host: Callable[..., None], configured: str, saved: type[Equipo]
) -> None:
    host(equipos={**EQUIPOS, "MODEL": configured})
    saved.objects.create(codigo="p")
    saved.objects.get().delete()
    saved.objects.create(codigo="q")
    saved.objects.all().delete()
    assert [event["type"].rpartition(".")[2] for event in messages()] == ["upserted", "deleted"] * 2


def test_a_cascade_announces_each_record_that_it_deletes(host: Callable[..., None]) -> None:
    host(equipos=EQUIPOS)
    workshop = Taller.objects.create(nombre="t")
    for code in "abc":
        Equipo.objects.create(codigo=code, taller=workshop)
    forget()
    workshop.delete()
    assert sorted(event["subject"] for event in messages()) == ["a", "b", "c"]
    assert Registro.objects.filter(borrado=True).count() == 3


def test_the_tests_run_on_the_database_that_was_asked_for() -> None:
    assert connection.vendor == django_settings.DATABASES["default"]["ENGINE"].rpartition(".")[2].replace("3", "")
