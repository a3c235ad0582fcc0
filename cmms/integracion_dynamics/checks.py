"""Django system checks: `manage.py check` says what is wrong in INTEGRACION_DYNAMICS before it costs data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connections, models, router
from django.utils.translation import gettext as _

from .config import parse
from .config.problems import SETTING
from .entities import Configuration, Entity

# Django's own exempts the API by itself.
_SIGN_IN = re.compile(r"login.?required", re.IGNORECASE)
_OF_DJANGO = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def check_configuration(**_options: Any) -> list[checks.CheckMessage]:
    """Every problem of the setting, and of the models and databases that it implies."""
    configuration, problems = parse(getattr(settings, SETTING, None))
    found: list[checks.CheckMessage] = [
        (checks.Warning if problem.warning else checks.Error)(
            problem.message, hint=problem.hint, id=f"integracion_dynamics.{problem.id}"
        )
        for problem in problems
    ]
    if configuration is not None:
        for entity in configuration.entities.values():
            found += [*_databases(entity), *_deleted_by_the_database(entity), *_not_filled(entity), *_collation(entity)]
        found += [*_isolation(configuration), *_middleware(), *_accounts(configuration)]
    return found


def check_service_user(databases: Sequence[str] | None = None, **_options: Any) -> list[checks.CheckMessage]:
    """Whether SERVICE_USER is somebody; asked of the database, so only where checks may use it."""
    configuration, _problems = parse(getattr(settings, SETTING, None))
    if not databases or configuration is None or not configuration.service_user or _accounts(configuration):
        return []
    users: Any = apps.get_model(settings.AUTH_USER_MODEL)
    if users._default_manager.filter(**{users.USERNAME_FIELD: configuration.service_user}).exists():  # noqa: SLF001 - Django's documented model API
        return []
    message = _("%(where)s names no user: %(name)r.")
    named = {"where": f"{SETTING}['SERVICE_USER']", "name": configuration.service_user}
    return [_error("E013", message % named, _("Create the account, without a usable password."))]


def connect() -> None:
    """Register with Django."""
    checks.register(check_configuration)
    checks.register(check_service_user, checks.Tags.database)


def _error(number: str, message: str, hint: str) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, id=f"integracion_dynamics.{number}")


def _warning(number: str, message: str, hint: str) -> checks.CheckMessage:
    return checks.Warning(message, hint=hint, id=f"integracion_dynamics.{number}")


def _databases(entity: Entity) -> Iterator[checks.CheckMessage]:
    model = entity.model.__name__
    written = router.db_for_write(entity.model)
    if written != router.db_for_write(apps.get_model("integracion_dynamics.Mensaje")):
        message = _("%(model)s and the outbox are written to different databases.") % {"model": model}
        hint = _("Route integracion_dynamics to the model's database: one transaction must hold both.")
        yield _error("E011", message, hint)
    if (read := router.db_for_read(entity.model)) != written:
        message = _("%(model)s is read from %(read)r and written to %(written)r.")
        named = {"model": model, "read": read, "written": written}
        hint = _("This app reads what is written; leave the database of 'registrar_cambios' to the app.")
        yield checks.Info(message % named, hint=hint, id="integracion_dynamics.I001")


def _deleted_by_the_database(entity: Entity) -> Iterator[checks.CheckMessage]:
    by_database = getattr(models, "DB_CASCADE", None)  # Django 6.1
    for field in entity.model._meta.concrete_fields:  # noqa: SLF001 - Django's documented model API
        if by_database is not None and getattr(field.remote_field, "on_delete", None) is by_database:
            message = _("%(model)s.%(field)s deletes by DB_CASCADE: no signal tells of it, and no message is written.")
            named = {"model": entity.model.__name__, "field": field.name}
            hint = _("Use CASCADE; or run 'manage.py anunciar %(entity)s' after such deletes.") % {
                "entity": entity.name
            }
            yield _warning("W004", message % named, hint)


def _not_filled(entity: Entity) -> Iterator[checks.CheckMessage]:
    """Columns that a create by the API must fill and cannot."""
    given = {*entity.columns.values(), *entity.defaults}
    missing = [
        field.name
        for field in entity.model._meta.concrete_fields  # noqa: SLF001 - Django's documented model API
        if not ({field.name, field.attname} & given or field.has_default() or field.blank or field.primary_key)
        and getattr(field, "db_default", models.NOT_PROVIDED) is models.NOT_PROVIDED
        and not getattr(field, "auto_now", False)
        and not getattr(field, "auto_now_add", False)
        and not (field.remote_field and getattr(field.remote_field, "parent_link", False))
    ]
    if missing:
        message = _("%(model)s cannot be created through the API: it requires %(fields)s.")
        named = {"model": entity.model.__name__, "fields": ", ".join(missing)}
        hint = _("Give them in %(where)s, unless records are made in the CMMS alone.")
        where = {"where": f"{SETTING}['ENTITIES'][{entity.name!r}]['DEFAULTS']"}
        yield _warning("W003", message % named, hint % where)


def _collation(entity: Entity) -> Iterator[checks.CheckMessage]:
    if connections[router.db_for_write(entity.model)].vendor != "mysql":
        return
    for attribute in {entity.key_attribute, entity.model._meta.pk.name}:  # noqa: SLF001 - Django's documented model API
        field = entity.model._meta.get_field(attribute)  # noqa: SLF001 - Django's documented model API
        collation = str(getattr(field, "db_collation", None) or "")
        if isinstance(field, models.CharField) and not collation.endswith(("_bin", "_cs")):
            message = _("%(model)s.%(field)s may be compared without case and accents by this database.")
            named = {"model": entity.model.__name__, "field": attribute}
            hint = _("The API compares byte for byte: set db_collation to one that ends in _bin.")
            yield _warning("W006", message % named, hint)


def _isolation(configuration: Configuration) -> Iterator[checks.CheckMessage]:
    written = {router.db_for_write(entity.model) for entity in configuration.entities.values()}
    for alias in sorted(written & set(connections)):
        options = connections[alias].settings_dict.get("OPTIONS", {})
        level = str(options.get("isolation_level", "read committed")).lower()
        if connections[alias].vendor == "mysql" and level != "read committed":
            message = _("The transactions of database %(alias)r are not 'read committed'.") % {"alias": alias}
            hint = _("A long one may announce what it read before others changed it: leave 'isolation_level' out.")
            yield _warning("W008", message, hint)


def _middleware() -> Iterator[checks.CheckMessage]:
    for name in settings.MIDDLEWARE:
        if name != _OF_DJANGO and _SIGN_IN.search(name):
            message = _("%(middleware)s may send the integration's requests to the login page.") % {"middleware": name}
            hint = _("Exempt the address of the API: its requests sign in by token. Then silence this warning.")
            yield _warning("W007", message, hint)


def _accounts(configuration: Configuration) -> list[checks.CheckMessage]:
    if not configuration.service_user or apps.is_installed("django.contrib.auth"):
        return []
    message = _("%(where)s is set, but django.contrib.auth is not installed.")
    return [_error("E013", message % {"where": f"{SETTING}['SERVICE_USER']"}, _("Leave it out."))]
