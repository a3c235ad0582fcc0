"""The demo's page and the endpoints that act as a person's edits."""

from django.urls import path, register_converter

from integracion_dynamics.api.urls import TextConverter

from .views import CollectionView, RecordView, home

register_converter(TextConverter, "clave_demo")

urlpatterns = [
    path("", home, name="inicio"),
    path("demo/<str:entidad>/", CollectionView.as_view()),
    path("demo/<str:entidad>/<clave_demo:clave>/", RecordView.as_view()),
]
