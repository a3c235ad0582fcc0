"""The host's own code inside a write: whatever it raises refuses the record, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.utils.translation import gettext as _

from integracion_dynamics.database import is_outage
from integracion_dynamics.entities import Entity

from .errors import ApiError, invalid_field

logger = logging.getLogger("integracion_dynamics.api")
_LONGEST_REASON = 300


@contextmanager
def refusals(entity: Entity) -> Iterator[None]:
    """Turn what validation, `save()`, a receiver or the database raises into the refusal of this record.

    Raises:
        ApiError: 422, naming the field where one is named.
        OperationalError: with `InterfaceError` and `InternalError`: the database, not the record, is in trouble.
    """
    try:
        yield
    except (ApiError, OperationalError, InterfaceError):
        raise
    except ValidationError as error:
        raise _invalid(entity, error) from None
    except InternalError as error:
        if is_outage(error):
            raise
        raise refused_by_the_database(entity, error) from error
    except DatabaseError as error:
        raise refused_by_the_database(entity, error) from error
    except Exception as error:
        logger.warning("The host's code refused a record of %s.", entity.name, exc_info=True)
        reason = str(error).partition("\n")[0][:_LONGEST_REASON]
        message = _("The CMMS's own code refused the record: %(reason)s")
        raised = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        raise ApiError(422, "rechazado_por_el_cmms", message % {"reason": raised}) from error


def refused_by_the_database(entity: Entity, error: DatabaseError) -> ApiError:
    """The refusal of a record that the database itself does not take."""
    logger.warning("The database refused a record of %s: %s", entity.name, type(error).__name__)
    message = _("The CMMS's database refused the record: a constraint or the range of a column was violated.")
    return ApiError(422, "rechazado_por_la_base", message)


def _invalid(entity: Entity, error: ValidationError) -> ApiError:
    """The first refused field, by its contract name where it has one."""
    contract_names = {attribute: name for name, attribute in entity.columns.items()}
    by_attribute = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    attribute, messages = next(iter(by_attribute.items()))
    if attribute == NON_FIELD_ERRORS:
        return ApiError(422, "registro_invalido", " ".join(messages))
    return invalid_field(contract_names.get(attribute, attribute), " ".join(messages))
