"""Include under `/integracion/` in the host's URLs."""

from __future__ import annotations

from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from .views import CollectionView, QueryView, RecordView, UnknownView


class KeyConverter(StringConverter):
    """A business key: any characters, slashes and line breaks too."""

    regex = "(?s:.+)"


register_converter(KeyConverter, "clave")

app_name = "integracion_dynamics"
urlpatterns = [
    path("<str:entidad>/", CollectionView.as_view(), name="coleccion"),
    path("<str:entidad>/consulta/", QueryView.as_view(), {"clave": "consulta"}, name="consulta"),
    path("<str:entidad>/<clave:clave>/", RecordView.as_view(), name="registro"),
    re_path(r"(?s:.*)", UnknownView.as_view()),
]
