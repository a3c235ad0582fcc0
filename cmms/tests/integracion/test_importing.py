"""The mixin for django-import-export."""

from __future__ import annotations

import pytest
import tablib  # type: ignore[import-untyped]
from import_export import resources  # type: ignore[import-untyped]

from demo.inventario.models import Activo
from integracion_dynamics.importing import AnnouncedResource

from .helpers import forget, make_asset, messages

pytestmark = pytest.mark.django_db


class ActivoResource(AnnouncedResource, resources.ModelResource):  # type: ignore[misc]
    class Meta:
        model = Activo
        use_bulk = True
        import_id_fields = ("codigo_interno",)
        fields = ("codigo_interno", "nombre")
        batch_size = 2


def table(*rows: tuple[str, str]) -> tablib.Dataset:
    return tablib.Dataset(*rows, headers=["codigo_interno", "nombre"])


def test_a_bulk_import_announces_what_it_creates_and_changes_and_nothing_else() -> None:
    make_asset("same", nombre="same")
    make_asset("changed", nombre="old")
    forget()
    rows = table(("same", "same"), ("changed", "new"), ("n1", "x"), ("n2", "x"), ("n3", "x"))
    result = ActivoResource().import_data(rows, dry_run=True)
    assert not result.has_errors()
    assert messages() == []
    assert not ActivoResource().import_data(rows).has_errors()
    assert sorted(event["subject"] for event in messages()) == ["changed", "n1", "n2", "n3"]


def test_a_bulk_import_that_fails_announces_nothing_of_the_failed_step() -> None:
    result = ActivoResource().import_data(table(("1", "x"), ("1", "x")), use_transactions=False)
    assert result.has_errors()
    assert messages() == []
    assert not Activo.objects.exists()
