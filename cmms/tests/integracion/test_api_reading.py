from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from demo.inventario.models import Activo
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import registrar_cambios

from .helpers import make_asset

LONG_AGO = "2000-01-01T00:00:00Z"


def read_all(api: Client, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    pages = []
    while True:
        answer = api.get("/integracion/activos/", parameters)
        assert answer.status_code == 200, answer.content
        pages.append(answer.json()["resultados"])
        if answer.json()["siguiente"] is None:
            return pages
        parameters["cursor"] = answer.json()["siguiente"]


def keys(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [record["clave"] for page in pages for record in page]


def test_a_record_has_the_contracts_form(api: Client) -> None:
    make_asset("007", serie="S")
    memory = Registro.objects.get()
    answer = api.get("/integracion/activos/007/")
    record = answer.json()
    assert answer["ETag"] == record.pop("etag")
    assert record == {
        "clave": "007",
        "version": instant(memory.version),
        "modificado_en": instant(memory.modificado_en),
        "modificado_por": "persona",
        "borrado": False,
        "id": memory.objeto,
        "operaciones": [],
        "campos": {
            "codigo_interno": "007",
            "nombre": "Bomba",
            "numero_de_serie": "S",
            "valor_adquisicion": "10.50",
            "valor_libros": None,
            "fecha_adquisicion": None,
        },
    }


def test_a_record_older_than_the_app_has_the_oldest_version(api: Client) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno="1", nombre="x")])
    record = api.get("/integracion/activos/1/").json()
    assert (record["version"], record["modificado_por"]) == ("1970-01-01T00:00:00.000000Z", "persona")
    assert keys(read_all(api)) == ["1"]
    assert keys(read_all(api, modificado_desde=LONG_AGO)) == []


def test_the_etag_moves_with_announced_and_unannounced_changes_and_with_nothing_else(api: Client) -> None:
    asset = make_asset()

    def etag() -> str:
        return str(api.get("/integracion/activos/0001/")["ETag"])

    seen = [etag()]
    asset.estado = Activo.Estado.OBSOLETO
    asset.save()
    assert etag() == seen[0]
    asset.nombre = "B"
    asset.save()
    seen.append(etag())
    Activo.objects.update(nombre="C")
    seen.append(etag())
    asset.nombre = "Bomba"
    asset.save()
    seen.append(etag())
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    "key",
    ["a/b", "a/", "/a", " a ", "ñandú", "00012", "a%2Fb", "a?b#c&d=e", "consulta", "a\nb", "日本", "a+b", "'\";--"],
)
def test_keys_are_opaque(api: Client, key: str) -> None:
    make_asset(key)
    make_asset("other")
    assert api.get(f"/integracion/activos/{quote(key, safe='')}/").json()["clave"] == key
    assert [record["clave"] for record in api.get("/integracion/activos/", {"clave": key}).json()["resultados"]] == [
        key
    ]


@pytest.mark.parametrize("key", ["absent", "%00", "%ED%A0%80", "%FF", "x" * 3000])
def test_a_key_that_nothing_has_is_404(api: Client, key: str) -> None:
    make_asset()
    answer = api.get(f"/integracion/activos/{key}/")
    assert answer.status_code == 404
    assert answer.json()["error"]["codigo"] == "no_encontrado"


def test_keys_are_compared_byte_for_byte(api: Client) -> None:
    make_asset("abc")
    assert api.get("/integracion/activos/ABC/").status_code == 404


def test_asked_keys_answer_in_their_order_with_tombstones_and_without_the_unknown(api: Client) -> None:
    for key in "abc":
        make_asset(key)
    Activo.objects.get(codigo_interno="b").delete()
    renamed = Activo.objects.get(codigo_interno="c")
    renamed.codigo_interno = "d"
    renamed.save()
    expected = ["d", "c", "b", "a"]
    by_get = api.get(
        "/integracion/activos/?" + "&".join(f"clave={key}" for key in ["d", "c", "b", "x", "a", "a", "%00"])
    )
    by_post = api.post(
        "/integracion/activos/consulta/", {"claves": [*"dcbxaa", "\0", "\ud800"]}, content_type="application/json"
    )
    assert by_get.json() == by_post.json()
    results = by_get.json()["resultados"]
    assert [record["clave"] for record in results] == expected
    assert by_get.json()["siguiente"] is None
    assert results[1] == {"clave": "c", "borrado": True, "version": results[0]["version"], "renombrado_a": "d"}
    assert results[2].keys() == {"clave", "borrado", "version"}


def test_a_renamed_record_keeps_its_id_and_both_keys_name_each_other_also_when_the_old_one_is_used_again(
    api: Client,
) -> None:
    first = make_asset("a")
    first.codigo_interno = "b"
    first.save()
    second = make_asset("a")
    second.nombre = "edited"
    second.save()
    shown = api.get("/integracion/activos/?clave=a&clave=b").json()["resultados"]
    assert [(record["clave"], record["id"]) for record in shown] == [("a", str(second.pk)), ("b", str(first.pk))]
    assert [record.get("renombrado_a") for record in shown] == ["b", None]
    assert [record.get("claves_anteriores") for record in shown] == [None, ["a"]]
    first.codigo_interno = "c"
    first.save()
    (renamed,) = api.get("/integracion/activos/?clave=c").json()["resultados"]
    assert renamed["claves_anteriores"] == ["a", "b"]
    second.delete()
    (tombstone,) = api.get("/integracion/activos/?clave=a").json()["resultados"]
    assert tombstone.keys() == {"clave", "borrado", "version"}


def test_a_record_that_vanished_unannounced_is_absent_rather_than_a_tombstone(api: Client) -> None:
    make_asset("a")
    rows = Activo.objects.all()
    rows._raw_delete("default")
    assert api.get("/integracion/activos/", {"clave": "a"}).json()["resultados"] == []
    assert keys(read_all(api, modificado_desde=LONG_AGO)) == []


def test_thousands_of_keys_fit_into_a_body(api: Client) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:05}", nombre="x") for n in range(1100)])
    asked = [f"{n:05}" for n in range(1100, -1, -1)]
    answer = api.post("/integracion/activos/consulta/", {"claves": asked}, content_type="application/json")
    assert [record["clave"] for record in answer.json()["resultados"]] == asked[1:]


def test_ids_name_records_whatever_their_keys_are_now_and_leave_out_what_is_gone(api: Client) -> None:
    first, second = make_asset("a"), make_asset("b")
    gone = str(second.pk)
    second.delete()
    first.codigo_interno = "c"
    first.save()
    make_asset("a")
    asked = [str(first.pk), gone, "not a number", "999999", "\0", str(first.pk)]
    answer = api.post("/integracion/activos/consulta/", {"ids": asked}, content_type="application/json")
    assert [(record["clave"], record["id"]) for record in answer.json()["resultados"]] == [("c", str(first.pk))]


@pytest.mark.parametrize("body", [{}, {"ids": "a"}, {"ids": [1]}, {"ids": [], "claves": []}, {"otro": []}])
def test_a_question_for_neither_keys_nor_ids_is_400(api: Client, body: dict[str, Any]) -> None:
    assert api.post("/integracion/activos/consulta/", body, content_type="application/json").status_code == 400


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_hold_every_record_once_in_the_order_of_the_key(api: Client, limit: int) -> None:
    for key in ["7", "b", "0", "a/b", "A", "ñ", "07"]:
        make_asset(key)
    pages = read_all(api, limite=limit)
    assert keys(pages) == sorted(["7", "b", "0", "a/b", "A", "ñ", "07"])
    assert max(map(len, pages)) <= limit


def test_inserts_and_deletes_between_pages_neither_repeat_nor_skip_a_record(api: Client) -> None:
    for key in "bdfh":
        make_asset(key)
    first = api.get("/integracion/activos/", {"limite": 2}).json()
    make_asset("a")
    make_asset("g")
    Activo.objects.get(codigo_interno="b").delete()
    rest = read_all(api, limite=2, cursor=first["siguiente"])
    assert keys([first["resultados"], *rest]) == ["b", "d", "f", "g", "h"]


def test_changes_come_oldest_first_with_tombstones_and_only_from_the_instant_on(api: Client) -> None:
    for key in "abc":
        make_asset(key)
    since = instant(Registro.objects.get(clave="b").version)
    Activo.objects.get(codigo_interno="a").delete()
    pages = read_all(api, modificado_desde=since, limite=1)
    assert keys(pages) == ["b", "c", "a"]
    assert [record["borrado"] for page in pages for record in page] == [False, False, True]
    after = instant(timezone.now() + timedelta(seconds=1))
    assert keys(read_all(api, modificado_desde=after)) == []


def test_changes_of_one_instant_are_divided_into_pages_without_loss(api: Client) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=key, nombre="x") for key in "abcde"])
    registrar_cambios(Activo.objects.all())
    assert len(set(Registro.objects.values_list("version"))) == 1
    assert sorted(keys(read_all(api, modificado_desde=LONG_AGO, limite=2))) == list("abcde")


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
    with django_assert_num_queries(3):
        api.get("/integracion/activos/", {"limite": "40", "modificado_desde": LONG_AGO})


def _cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("parameters", "campo"),
    [
        *[({"limite": limit}, "limite") for limit in ("-1", "0", "x", "", "1.5", "9" * 5000, "\u0661", "+1")],
        *[
            ({"modificado_desde": text}, "modificado_desde")
            for text in ("", "x", "2026-01-01", "2026-01-01T00:00:00 00:00")
        ],
        ({"modificado_desde": "9999-12-31T23:59:59-12:00"}, "modificado_desde"),
        *[
            ({"cursor": cursor}, "cursor")
            for cursor in ("x", "ñ", "====", _cursor(), _cursor("clave"), _cursor("clave", 5))
        ],
        ({"cursor": _cursor("clave", "a\0")}, "cursor"),
        ({"cursor": _cursor("clave", "\ud800")}, "cursor"),
        ({"cursor": _cursor("version", LONG_AGO, 1)}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 100_000).decode()}, "cursor"),
        *[
            ({"modificado_desde": LONG_AGO, "cursor": cursor}, "cursor")
            for cursor in (_cursor("clave", "a"), _cursor("version", "x", 1), _cursor("version", LONG_AGO, 2**63))
        ],
        ({"modificado-desde": LONG_AGO}, "modificado-desde"),
        ({"clave": ["k"] * 501}, "clave"),
        ({"clave": ["k"] * 1001}, "clave"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_parameter_that_cannot_be_used_is_400_and_named(api: Client, parameters: dict[str, Any], campo: str) -> None:
    answer = api.get("/integracion/activos/", parameters)
    assert answer.status_code == 400
    assert answer.json()["error"]["codigo"] == "parametro_invalido"
    assert answer.json()["error"]["campo"] == campo


@pytest.mark.parametrize("claves", [None, "a", [1], {"a": 1}, ["k"] * 5001], ids=lambda value: repr(value)[:20])
def test_a_list_of_keys_of_another_shape_is_400(api: Client, claves: Any) -> None:
    assert (
        api.post("/integracion/activos/consulta/", {"claves": claves}, content_type="application/json").status_code
        == 400
    )
