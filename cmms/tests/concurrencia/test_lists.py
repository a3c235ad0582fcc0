"""Lists of changes while others write: no change is in none of them, and a deep page costs what the first costs."""

from __future__ import annotations

import json
import os
import random
from datetime import datetime, timezone
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from integracion.helpers import make_asset
from psycopg.errors import DeadlockDetected

from demo.inventario.models import Activo
from integracion_dynamics import positions
from integracion_dynamics.config import entities
from integracion_dynamics.content import CHUNK
from integracion_dynamics.models import Registro

from .conftest import Gate, Others
from .helpers import LONG_AGO, changes, client, execute, now


def test_a_change_that_commits_after_later_ones_were_listed_is_in_the_next_list(others: Others) -> None:
    early, late = make_asset("early"), make_asset("late")
    assert set(changes(LONG_AGO)) == {str(early.pk), str(late.pk)}
    written, listed = Gate(), Gate()

    def long_import() -> None:
        with transaction.atomic():
            row = Activo.objects.get(pk=late.pk)
            row.nombre = "imported"
            row.save()
            written.open()
            listed.wait()

    importing = others.begin(long_import)
    written.wait()
    early.nombre = "edited"
    early.save()
    began = now()
    assert changes(began) == [str(early.pk)]
    began = now()
    listed.open()
    importing.result(120)
    assert changes(began) == [str(late.pk)]


def test_lists_that_go_on_while_many_write_miss_no_change(others: Others) -> None:
    assets = [make_asset(f"{n:02}") for n in range(20)]
    ended = Gate()
    seen: set[tuple[str, int]] = set()

    def write(worker: int) -> None:
        chance = random.Random(worker)  # noqa: S311 - repeatable
        for step in range(15):
            with transaction.atomic():
                row = Activo.objects.get(pk=chance.choice(assets[worker * 5 : worker * 5 + 5]).pk)
                row.nombre = f"{worker}-{step}"
                row.save()
                if not step % 4:
                    Activo.objects.exclude(pk=row.pk).filter(codigo_interno__lt="00").count()

    def read() -> None:
        since = LONG_AGO
        for _ in range(200):
            final = ended.is_open()
            began = now()
            for pk in changes(since, limit=3):
                seen.add((pk, Registro.objects.get(objeto=pk).revision))
            since = began
            if final:
                return

    reader = others.begin(read)
    others(*(lambda worker=worker: write(worker) for worker in range(4)))
    ended.open()
    reader.result(180)
    newest = set(Registro.objects.values_list("objeto", "revision"))
    assert newest <= seen, "the last change of a record was in no list"


def test_lists_while_others_write_are_never_an_error(others: Others) -> None:
    for number in range(30):
        make_asset(f"{number:02}")

    def edit() -> None:
        for row in Activo.objects.all():
            row.nombre = "edited"
            row.save()

    readers = (lambda: len(set(changes(LONG_AGO, limit=7))) for _ in range(4))
    assert others(edit, *readers)[1:] == [30] * 4


def rows_read(statement: str) -> int:
    """How many rows the database reads for a query, by its own count, and that it reads them along the list's index."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"ANALYZE FORMAT=JSON {statement}")
            (told,) = cursor.fetchone()
            plan = json.loads(told)["query_block"]
            table = plan.get("table") or plan["nested_loop"][0]["table"]
            assert table["key"] == "registro_visto"
            return int(table["r_rows"])
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        plan = cursor.fetchone()[0][0]["Plan"]
    while "Plans" in plan:
        (plan,) = plan["Plans"]
    assert plan["Index Name"] == "registro_visto"
    return int(plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))


def test_a_deep_page_of_changes_reads_no_more_rows_than_the_first() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    gone = (
        Registro(entidad="activos", objeto=str(n), clave=str(n), revision=1, borrado=True, version=moment)
        for n in range(6000)
    )
    Registro.objects.bulk_create(gone)
    query: dict[str, Any] = {"modificado_desde": LONG_AGO, "limite": 300}
    read = []
    while query.get("cursor", "first"):
        with CaptureQueriesContext(connection) as queries:
            query["cursor"] = client().get("/integracion/activos/", query).json()["siguiente"]
        lists = [
            one["sql"]
            for one in queries
            if "`visto_en` ASC" in one["sql"].replace('"', "`") and "UPDATE" not in one["sql"]
        ]
        read.append(sum(map(rows_read, lists)))
    assert len(read) == 20
    assert max(read) <= CHUNK + 301


@pytest.mark.skipif(bool(os.environ.get("CMMS_TESTS_MARIADB")), reason="MariaDB may sort what has no position")
def test_giving_positions_to_some_changes_reads_only_these() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    unseen = (Registro(entidad="activos", objeto=str(n), clave=str(n), revision=1, version=moment) for n in range(3000))
    Registro.objects.bulk_create(unseen)
    execute("ANALYZE integracion_dynamics_registro")
    with CaptureQueriesContext(connection) as queries:
        assert positions.assign_positions(entities()["activos"], "default", 10)
    (chosen,) = [one["sql"] for one in queries if "LIMIT 10" in one["sql"]]
    assert rows_read(chosen.partition(" FOR UPDATE")[0]) == 10


@pytest.mark.parametrize(
    "deadlock",
    [OperationalError(1213, "Deadlock found"), OperationalError("deadlock detected")],
    ids=["MariaDB's", "PostgreSQL's"],
)
def test_a_list_begins_again_where_the_database_undid_its_positions(
    monkeypatch: pytest.MonkeyPatch, deadlock: OperationalError
) -> None:
    make_asset("1")
    tried: list[int] = []
    if not deadlock.args[1:]:
        deadlock.__cause__ = DeadlockDetected()

    def undone(*arguments: Any) -> bool:
        tried.append(1)
        if len(tried) < 3:
            raise deadlock
        return assign(*arguments)

    assign = positions._assign
    monkeypatch.setattr(positions, "_assign", undone)
    assert len(changes(LONG_AGO)) == 1
    assert len(tried) == 3
