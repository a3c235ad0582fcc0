"""Settings of the demo project, for one machine only: `/demo/` has no sign-in.

From the environment: CMMS_DEMO_DB (path of the SQLite file), CMMS_TOKEN (the integration's token;
several with commas between them), ServiceBusConnection (a connection string), DJANGO_SECRET_KEY (random
if unset).
"""

import os
import secrets
from pathlib import Path
from typing import Any

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
INSTALLED_APPS = ["integracion_dynamics", "demo.inventario"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "integracion_dynamics.middleware.traceparent"]
ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("CMMS_DEMO_DB") or Path(__file__).resolve().parent.parent / "demo.sqlite3",
        # The web server and the relay write side by side: readers never wait, and a writer takes the lock at
        # the beginning of its transaction, where the time-out applies, not in the middle, where it does not.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "es-hn"
TIME_ZONE = "America/Tegucigalpa"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # The relay says once that a queue is away and once that it is back; the SDK would say it each time.
    "loggers": {
        "integracion_dynamics": {"handlers": ["console"], "level": "INFO"},
        "azure": {"handlers": ["console"], "level": "CRITICAL"},
    },
}

INTEGRACION_DYNAMICS: dict[str, Any] = {
    "ENTITIES": {
        "activos": {
            "EVENT": "asset",
            "QUEUE": "assets",
            "MODEL": "inventario.Activo",
            "KEY": "codigo_interno",
            "FIELDS": {
                "codigo_interno": "codigo_interno",
                "nombre": "nombre",
                "numero_de_serie": "serie",
                "valor_adquisicion": "costo",
                "valor_libros": "valor_libros",
                "fecha_adquisicion": "fecha_compra",
            },
        },
        "requisiciones": {
            "EVENT": "order",
            "QUEUE": "orders",
            "MODEL": "inventario.Requisicion",
            "KEY": "numero_requisicion",
            "FIELDS": {
                "numero_requisicion": "numero_requisicion",
                "justificacion": "justificacion",
                "total": "total",
                "estado": "estado",
                "fecha_creacion": "fecha_creacion",
            },
        },
    },
    "TOKENS": [token for token in os.environ.get("CMMS_TOKEN", "").split(",") if token],
    "SERVICE_BUS": {"CONNECTION_STRING": os.environ.get("ServiceBusConnection", "")},  # noqa: SIM112 - the name that Azure Functions gives it
}
