from django.apps import AppConfig


class IntegracionDynamicsConfig(AppConfig):
    """Connects the outbox to the models that the setting INTEGRACION_DYNAMICS names."""

    name = "integracion_dynamics"
    verbose_name = "Integración con Dynamics 365"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks and signals.

        Raises:
            ImproperlyConfigured: ENTITIES cannot be read: records would be changed without a message.
        """
        from . import checks, signals  # noqa: PLC0415 - models can be imported only once the apps are loaded

        checks.connect()
        signals.connect()
