"""One record, given ids and keys, and requests that cannot be read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.test import Client

from demo.inventario.models import Activo
from integracion_dynamics.fields import instant
from integracion_dynamics.models import Registro

from .helpers import address_of, id_of, make_asset
from .reads import LONG_AGO, keys, read_all


def test_a_record_has_the_contracts_form(api: Client) -> None:
    make_asset("007", serie="S")
    memory = Registro.objects.get()
    answer = api.get(address_of("007"))
    record = answer.json()
    assert answer["ETag"] == record.pop("etag")
    assert record == {
        "id": id_of("007"),
        "clave": "007",
        "version": instant(memory.version),
        "revision": 1,
        "modificado_en": instant(memory.modificado_en),
        "modificado_por": "persona",
        "borrado": False,
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
    record = api.get(address_of("1")).json()
    assert (record["version"], record["modificado_por"]) == ("1970-01-01T00:00:00.000000Z", "persona")
    assert keys(read_all(api)) == ["1"]
    assert keys(read_all(api, modificado_desde=LONG_AGO)) == []


def test_the_etag_moves_with_announced_and_unannounced_changes_and_with_nothing_else(api: Client) -> None:
    asset = make_asset()

    def etag() -> str:
        return str(api.get(address_of("0001"))["ETag"])

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
    [
        "a/b",
        "a/",
        "/a",
        " a ",
        "ñandú",
        "00012",
        "a%2Fb",
        "a?b#c&d=e",
        "consulta",
        "a\nb",
        "日本",
        "a+b",
        "'\";--",
        "\x01a",
    ],
)
def test_keys_are_opaque(api: Client, key: str) -> None:
    make_asset(key)
    make_asset("other")
    assert api.get(address_of(key)).json()["clave"] == key
    assert keys([api.get("/integracion/activos/", {"clave": key}).json()["resultados"]]) == [key]


@pytest.mark.parametrize("spelling", ["absent", "0{}", " {}", "+{}", "{}.0", "-1", "%00", "%ED%A0%80", "%FF", "9" * 30])
def test_an_id_that_no_record_has_is_404_and_ids_are_compared_as_text(api: Client, spelling: str) -> None:
    make_asset()
    answer = api.get(f"/integracion/activos/{spelling.format(id_of('0001'))}/")
    assert answer.status_code == 404
    assert answer.json()["error"]["codigo"] == "no_encontrado"


def look_up(api: Client, **asked: list[str]) -> list[dict[str, Any]]:
    """What consulta/ answers, which a GET of the same answers as well."""
    answer = api.post("/integracion/activos/consulta/", asked, content_type="application/json")
    ((name, wanted),) = asked.items()
    plain = [one for one in wanted if one not in ("\0", "\ud800")]
    query = {"claves": "clave", "ids": "id"}[name]
    assert api.get("/integracion/activos/", {query: plain}).json() == answer.json()
    assert answer.json()["siguiente"] is None
    results: list[dict[str, Any]] = answer.json()["resultados"]
    return results


def test_keys_are_compared_byte_for_byte(api: Client) -> None:
    make_asset("abc")
    assert look_up(api, claves=["ABC", "abc ", "abç"]) == []


def test_asked_keys_answer_the_records_that_hold_them_now_and_no_tombstones(api: Client) -> None:
    for key in "abc":
        make_asset(key)
    Activo.objects.get(codigo_interno="b").delete()
    renamed = Activo.objects.get(codigo_interno="c")
    renamed.codigo_interno = "d"
    renamed.save()
    assert keys([look_up(api, claves=[*"dcbxaa", "\0", "\ud800"])]) == ["d", "a"]


def test_asked_ids_answer_in_their_order_with_tombstones_whatever_the_keys_are_now(api: Client) -> None:
    first, second = make_asset("a"), make_asset("b")
    ids = [str(first.pk), str(second.pk)]
    second.delete()
    first.codigo_interno = "c"
    first.save()
    make_asset("a")
    tombstone, record = look_up(api, ids=[ids[1], "not a number", "999999", "\0", ids[0], ids[1]])
    assert (record["clave"], record["id"]) == ("c", ids[0])
    assert tombstone == {
        "id": ids[1],
        "clave": "b",
        "borrado": True,
        "version": instant(Registro.objects.get(objeto=ids[1]).version),
    }


def test_records_that_exchanged_their_keys_keep_their_ids(api: Client) -> None:
    first, second = make_asset("a"), make_asset("b")
    for record, key in ((first, "t"), (second, "a"), (first, "b")):
        record.codigo_interno = key
        record.save()
    assert [(one["id"], one["clave"]) for one in look_up(api, ids=[str(first.pk), str(second.pk)])] == [
        (str(first.pk), "b"),
        (str(second.pk), "a"),
    ]


def test_a_record_that_vanished_unannounced_is_absent_rather_than_a_tombstone(api: Client) -> None:
    make_asset("a")
    rows = Activo.objects.all()
    pk = id_of("a")
    rows._raw_delete("default")
    assert look_up(api, claves=["a"]) == look_up(api, ids=[pk]) == []
    assert keys(read_all(api, modificado_desde=LONG_AGO)) == []


def test_thousands_of_keys_fit_into_a_body(api: Client) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:05}", nombre="x") for n in range(600)])
    asked = [f"{n:05}" for n in range(600, -1, -1)]
    answer = api.post("/integracion/activos/consulta/", {"claves": asked}, content_type="application/json")
    assert [record["clave"] for record in answer.json()["resultados"]] == asked[1:]


@pytest.mark.parametrize("body", [{}, {"ids": "a"}, {"ids": [1]}, {"ids": [], "claves": []}, {"otro": []}])
def test_a_question_for_neither_keys_nor_ids_is_400(api: Client, body: dict[str, Any]) -> None:
    assert api.post("/integracion/activos/consulta/", body, content_type="application/json").status_code == 400


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
        *[({"cursor": cursor}, "cursor") for cursor in ("x", "ñ", "====", _cursor(), _cursor("id"), _cursor("id", 5))],
        ({"cursor": _cursor("id", "a\0")}, "cursor"),
        ({"cursor": _cursor("id", "\ud800")}, "cursor"),
        ({"cursor": _cursor("cambios", LONG_AGO, LONG_AGO, 1)}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 100_000).decode()}, "cursor"),
        *[
            ({"modificado_desde": LONG_AGO, "cursor": cursor}, "cursor")
            for cursor in (
                _cursor("id", "1"),
                _cursor("cambios", "x", LONG_AGO, 1),
                _cursor("cambios", LONG_AGO, LONG_AGO, 2**63),
            )
        ],
        ({"modificado-desde": LONG_AGO}, "modificado-desde"),
        ({"clave": "a", "modificado_desde": "not an instant"}, "modificado_desde"),
        ({"id": "1", "cursor": "x"}, "cursor"),
        ({"id": "1", "clave": "a"}, "clave"),
        ({"clave": ["k"] * 501}, "clave"),
        ({"id": ["k"] * 501}, "id"),
        ({"clave": ["k"] * 1001}, "id"),
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
