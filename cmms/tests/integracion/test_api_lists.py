"""The full list and the list of changes, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from demo.inventario.models import Activo
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import make_asset
from .reads import LONG_AGO, keys, read_all


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_hold_every_record_once_in_the_order_of_the_primary_key(api: Client, limit: int) -> None:
    for key in ["7", "b", "0", "a/b", "A", "ñ", "07"]:
        make_asset(key)
    pages = read_all(api, limite=limit)
    assert keys(pages) == ["7", "b", "0", "a/b", "A", "ñ", "07"]
    assert max(map(len, pages)) <= limit


def test_edits_between_pages_neither_repeat_nor_skip_a_record(api: Client) -> None:
    for key in "bdfh":
        make_asset(key)
    first = api.get("/integracion/activos/", {"limite": 2}).json()
    make_asset("a")
    renamed = Activo.objects.get(codigo_interno="h")
    renamed.codigo_interno = "0"  # before the page that was read, by its key
    renamed.save()
    Activo.objects.get(codigo_interno="b").delete()
    rest = read_all(api, limite=2, cursor=first["siguiente"])
    assert keys([first["resultados"], *rest]) == ["b", "d", "f", "0", "a"]


def test_changes_come_oldest_first_with_tombstones_and_only_from_the_instant_on(api: Client) -> None:
    for key in "abc":
        make_asset(key)
    assert keys(read_all(api, modificado_desde=LONG_AGO, limite=1)) == ["a", "b", "c"]
    since = instant(timezone.now())
    Activo.objects.filter(codigo_interno="b").update(nombre="silent")
    edited = Activo.objects.get(codigo_interno="c")
    edited.nombre = "edited"
    edited.save()
    Activo.objects.get(codigo_interno="a").delete()
    pages = read_all(api, modificado_desde=since, limite=1)
    assert keys(pages) == ["c", "a"]
    assert [record["borrado"] for page in pages for record in page] == [False, True]
    after = instant(timezone.now() + timedelta(seconds=1))
    assert keys(read_all(api, modificado_desde=after)) == []


def test_changes_of_one_instant_are_divided_into_pages_without_loss(api: Client) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=key, nombre="x") for key in "abcde"])
    registrar_cambios(Activo.objects.all())
    assert len(set(Registro.objects.values_list("version"))) == 1
    assert sorted(keys(read_all(api, modificado_desde=LONG_AGO, limite=2))) == list("abcde")


def test_a_change_whose_transaction_was_open_for_long_is_in_the_first_list_after_its_commit(api: Client) -> None:
    make_asset("quick")
    late = make_asset("late")
    # As a transaction leaves it that began before the last list and commits only now.
    began = timezone.now() - timedelta(hours=1)
    last_list = instant(timezone.now())
    assert keys(read_all(api, modificado_desde=LONG_AGO)) == ["quick", "late"]
    Registro.objects.filter(objeto=str(late.pk)).update(version=began, visto_en=None)
    assert keys(read_all(api, modificado_desde=last_list)) == ["quick", "late"]
    assert keys(read_all(api, modificado_desde=instant(timezone.now()))) == []


def test_positions_rise_also_when_the_clock_goes_back(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_asset("a")
    read_all(api, modificado_desde=LONG_AGO)
    before = Registro.objects.get().visto_en
    assert before is not None
    monkeypatch.setattr("integracion_dynamics.positions.database_now", lambda _: before - timedelta(hours=1))
    make_asset("b")
    assert keys(read_all(api, modificado_desde=instant(before + timedelta(microseconds=1)))) == ["b"]


def test_a_list_of_changes_ends_only_when_every_change_has_a_position(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integracion_dynamics.api.listing.POSITIONS", 2)
    for number in range(7):
        make_asset(str(number))
    pages = read_all(api, modificado_desde=LONG_AGO, limite=2)
    assert keys(pages) == list("0123456")
    assert not Registro.objects.filter(visto_en=None).exists()


def test_a_page_never_exceeds_the_configured_limit(api: Client, settings: Any, configuration: dict[str, Any]) -> None:
    settings.INTEGRACION_DYNAMICS = {**configuration, "PAGE_LIMIT": 2}
    for key in "abc":
        make_asset(key)
    assert [len(page) for page in read_all(api, limite=1000)] == [2, 1]


def test_a_page_costs_the_same_few_queries_whatever_its_size(api: Client, django_assert_num_queries: Any) -> None:
    for number in range(50):
        make_asset(str(number))
    with django_assert_num_queries(3):
        api.get("/integracion/activos/", {"limite": 40})
    api.get("/integracion/activos/", {"modificado_desde": LONG_AGO})  # gives positions
    with django_assert_num_queries(3):
        api.get("/integracion/activos/", {"limite": "40", "modificado_desde": LONG_AGO})
