"""Django system checks: `manage.py check` says what is wrong in INTEGRACION_DYNAMICS before it costs data."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import router

from .config import parse
from .config.problems import SETTING


def check_configuration(**_: Any) -> list[checks.CheckMessage]:
    """Every problem of the setting, and of the databases that it implies."""
    configuration, problems = parse(getattr(settings, SETTING, None))
    found: list[checks.CheckMessage] = [
        (checks.Warning if problem.warning else checks.Error)(
            problem.message, hint=problem.hint, id=f"integracion_dynamics.{problem.id}"
        )
        for problem in problems
    ]
    if configuration is not None:
        outbox = apps.get_model("integracion_dynamics.Mensaje")
        found += [
            checks.Error(
                f"{entity.model.__name__} and the outbox are written to different databases.",
                hint="Route integracion_dynamics to the model's database: one transaction must hold both.",
                id="integracion_dynamics.E011",
            )
            for entity in configuration.entities.values()
            if router.db_for_write(entity.model) != router.db_for_write(outbox)
        ]
    return found


def connect() -> None:
    """Register with Django."""
    checks.register(check_configuration)
