"""`anunciar`: what nobody announced."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from demo.inventario.models import Activo
from integracion_dynamics.models import Mensaje

from .helpers import forget, make_asset, messages

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_english")]


def silently(**values: Any) -> None:
    Activo.objects.bulk_create([Activo(nombre="x", **values)])


def test_what_nobody_announced_is_announced_whatever_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    make_asset("same")
    make_asset("changed")
    gone = make_asset("gone")
    make_asset("was deleted").delete()
    silently(codigo_interno="new")
    Activo.objects.filter(codigo_interno="changed").update(nombre="silent")
    rows = Activo.objects.filter(pk=gone.pk)
    rows._raw_delete("default")
    forget()
    call_command("anunciar", "activos", dry_run=True)
    printed = capsys.readouterr().out
    assert "activos: 1 never announced, 1 changed since, 1 gone since, 1 as announced; 0 messages written." in printed
    assert f"gone since: {gone.pk}" in printed
    assert messages() == []
    call_command("anunciar", chunk=2)
    assert "3 messages written" in capsys.readouterr().out
    told = {event["subject"]: event["type"].rpartition(".")[2] for event in messages()}
    assert told == {"new": "upserted", "changed": "upserted", "gone": "deleted"}
    call_command("anunciar")
    assert "0 messages written" in capsys.readouterr().out


def test_a_resync_announces_again_what_was_announced_as_it_is_under_a_later_version() -> None:
    make_asset("a")
    asset = make_asset("b")
    make_asset("c")
    call_command("anunciar", "activos", "--todo", "--clave", "a", "--id", str(asset.pk))
    told = messages()
    assert [event["subject"] for event in told] == ["a", "b", "c", "a", "b"]
    assert told[3]["data"]["version"] > told[0]["data"]["version"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nada"], "No such entity: nada"),
        (["--clave", "a"], "need one entity"),
        (["activos", "--clave", "absent"], "has the key 'absent'"),
        (["activos", "--chunk", "0"], "number from 1 to 500"),
    ],
)
def test_announcing_what_there_is_not_is_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("anunciar", *arguments)


def test_announcing_goes_through_more_records_than_a_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    Activo.objects.bulk_create([Activo(codigo_interno=f"{n:04}", nombre="x") for n in range(603)])
    call_command("anunciar", "activos")
    assert "603 never announced, 0 changed since, 0 gone since, 0 as announced; 603 messages" in capsys.readouterr().out
    rows = Activo.objects.all()
    rows._raw_delete("default")
    call_command("anunciar", "activos")
    assert "603 gone since" in capsys.readouterr().out


def test_announcing_keeps_no_statement_in_memory_where_django_is_in_debug_mode(settings: Any) -> None:
    settings.DEBUG = True
    for number in range(9):
        silently(codigo_interno=str(number))
    call_command("anunciar", "activos", chunk=3, verbosity=0)
    assert Mensaje.objects.count() == 9
    assert len(connection.queries) < 10
