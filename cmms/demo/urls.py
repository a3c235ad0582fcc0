"""The demo's addresses."""

from django.urls import include, path

urlpatterns = [
    path("", include("demo.inventario.urls")),
    path("integracion/", include("integracion_dynamics.api.urls")),
]
