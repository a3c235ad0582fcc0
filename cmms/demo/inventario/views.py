"""What a person would do in Energy CMMS, as JSON, and a page that shows both tables.

Names may be the model's or the contract's. With `?silencioso=1` a write uses `QuerySet.update`, as bulk
imports do: no signal, so nothing is announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from integracion_dynamics.api.body import read_object
from integracion_dynamics.api.errors import ApiError, invalid_field, not_found
from integracion_dynamics.config import current
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, from_wire, to_wire, usable_text
from integracion_dynamics.models import Mensaje

from .models import Activo, Requisicion

SHOWN = 200


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Both tables, newest first."""
    tables = [
        {
            "title": model._meta.verbose_name_plural,  # noqa: SLF001 - Django's documented model API
            "count": model._default_manager.count(),  # noqa: SLF001 - Django's documented model API
            "columns": [field.verbose_name for field in _columns(model)],
            "rows": [
                [to_wire(getattr(row, field.attname)) for field in _columns(model)]
                for row in model._default_manager.order_by("-pk")[:SHOWN]  # noqa: SLF001 - Django's documented model API
            ],
        }
        for model in (Activo, Requisicion)
    ]
    waiting = Mensaje.objects.filter(enviado_en__isnull=True, motivo_fallo="").count()
    failed = Mensaje.objects.exclude(motivo_fallo="").count()
    context = {"tables": tables, "shown": SHOWN, "waiting": waiting, "failed": failed}
    return render(request, "inventario/inicio.html", context)


@method_decorator(csrf_exempt, name="dispatch")
class DemoView(View):
    """Finds the entity and turns refusals into JSON."""

    entity: Entity

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the request."""
        try:
            entities = current().entities
            if kwargs["entidad"] not in entities:
                raise not_found(f"No such table; known are: {', '.join(entities)}.")
            self.entity = entities[kwargs.pop("entidad")]
            return super().dispatch(request, *args, **kwargs)
        except ApiError as error:
            return JsonResponse(error.as_json(), status=error.status, headers=error.headers)
        except ValidationError as error:
            return JsonResponse({"error": {"codigo": "registro_invalido", "mensaje": error.messages}}, status=422)
        except IntegrityError:
            message = "A record with this key exists already, or a required value is missing."
            return JsonResponse({"error": {"codigo": "ya_existe", "mensaje": message}}, status=409)

    def rows(self) -> models.QuerySet[Any]:
        """The table."""
        manager = self.entity.model._default_manager  # noqa: SLF001 - Django's documented model API
        return manager.all()

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """The body's values by model attribute."""
        columns = {field.name: field for field in _columns(self.entity.model) if not field.primary_key}
        values = {}
        names = {**{name: name for name in columns}, **self.entity.columns}
        given = read_object(request, set(names))
        name = ""
        try:
            for name, value in given.items():
                values[names[name]] = from_wire(columns[names[name]], value)
        except UnusableValueError as error:
            raise invalid_field(name, f"{error}.") from None
        return values


class CollectionView(DemoView):
    """`/demo/<entidad>/`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Everything, in the order of the key."""
        return JsonResponse({"resultados": [_shown(row) for row in self.rows().order_by(self.entity.key_attribute)]})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create."""
        instance = self.entity.model(**self.read(request))
        instance.full_clean()
        if _silently(request):
            self.rows().bulk_create([instance])
        else:
            instance.save()
        return JsonResponse(_shown(self.rows().get(pk=instance.pk)), status=201)


class RecordView(DemoView):
    """`/demo/<entidad>/<clave>/`."""

    def get(self, request: HttpRequest, clave: str) -> HttpResponse:
        """One record."""
        return JsonResponse(_shown(self._one(clave)))

    def patch(self, request: HttpRequest, clave: str) -> HttpResponse:
        """Change some values; a new key is a rename."""
        values = self.read(request)
        # What the integration writes between the read and the save would be overwritten by what was read.
        with transaction.atomic():
            instance = self._one(clave, self.rows().select_for_update())
            for attribute, value in values.items():
                setattr(instance, attribute, value)
            instance.full_clean()
            if _silently(request):
                self.rows().filter(pk=instance.pk).update(**values)
            else:
                instance.save()
        return JsonResponse(_shown(self.rows().get(pk=instance.pk)))

    def delete(self, request: HttpRequest, clave: str) -> HttpResponse:
        """Delete."""
        instance = self._one(clave)
        if _silently(request):
            rows = self.rows().filter(pk=instance.pk)
            rows._raw_delete(rows.db)  # noqa: SLF001 - the one way in Django to delete without a signal
        else:
            instance.delete()
        return HttpResponse(status=204)

    def _one(self, key: str, rows: models.QuerySet[Any] | None = None) -> models.Model:
        found: models.Model | None = None
        if usable_text(key):
            found = (self.rows() if rows is None else rows).filter(**{self.entity.key_attribute: key}).first()
        if found is None:
            raise not_found(f"No record has the key {key!r}.")
        return found


def _silently(request: HttpRequest) -> bool:
    return request.GET.get("silencioso") == "1"


def _columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return list(model._meta.concrete_fields)  # noqa: SLF001 - Django's documented model API


def _shown(instance: models.Model) -> Mapping[str, Any]:
    return {field.name: to_wire(getattr(instance, field.attname)) for field in _columns(type(instance))}
