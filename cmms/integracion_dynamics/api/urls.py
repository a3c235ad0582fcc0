"""Include under `/integracion/` in the host's URLs."""

from __future__ import annotations

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from .views import CollectionView, HealthView, QueryView, RecordView, UnknownView


class TextConverter(StringConverter):
    """An id: any characters, slashes and line breaks too."""

    regex = "(?s:.+)"


register_converter(TextConverter, "texto")

app_name = "integracion_dynamics"
urlpatterns = [
    path("salud/", HealthView.as_view(), name="salud"),
    path("<str:entidad>/", CollectionView.as_view(), name="coleccion"),
    path("<str:entidad>/consulta/", QueryView.as_view(), {"id": "consulta"}, name="consulta"),
    path("<str:entidad>/<texto:id>/", RecordView.as_view(), name="registro"),
    # An empty pattern, for it begins every address: `reverse()` cannot read a pattern with a flag, such as `(?s:.*)`.
    re_path(r"", UnknownView.as_view()),
]
