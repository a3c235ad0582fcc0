from django.apps import AppConfig


class InventarioConfig(AppConfig):
    """The demo's assets and requisitions."""

    name = "demo.inventario"
    label = "inventario"
    verbose_name = "Inventario"
