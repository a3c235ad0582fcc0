"""State and status: a status belongs to a state, and closed rows are read-only.

https://learn.microsoft.com/power-apps/developer/data-platform/define-custom-state-model-transitions
"""

from collections.abc import Mapping
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.rows import Row
from local.emulators.dataverse.schema import Table
from local.emulators.dataverse.values import Value

_STATE, _STATUS = "statecode", "statuscode"


def first_state(table: Table, given: Mapping[str, Value], row_id: UUID) -> dict[str, Value]:
    """Determine the state and status of a new row; the state's default status if only the state is given."""
    if _STATE not in table.columns:
        return {}
    wanted = given.get(_STATE) if table.state_on_create else None
    state = wanted if isinstance(wanted, int) else 0
    return _pair(table, state, given.get(_STATUS), row_id)


def next_state(table: Table, before: Row, given: Mapping[str, Value]) -> dict[str, Value]:
    """Determine the state and status after an update.

    Raises:
        DataverseError: STATUS_NOT_OF_STATE, or RECORD_READ_ONLY when a closed row would be edited.

    """
    if _STATE not in table.columns:
        return {}
    held = before.values[_STATE]
    if table.closed_read_only and held != 0:
        other = next((name for name in given if name not in {_STATE, _STATUS}), None)
        if other is not None:
            raise Refusal.RECORD_READ_ONLY(table=table.name, id=before.id, state=held, column=other)
    wanted = given.get(_STATE)
    state = wanted if isinstance(wanted, int) else held
    status = given.get(_STATUS)
    if status is None and state == held:
        status = before.values[_STATUS]
    return _pair(table, state, status, before.id)


def _pair(table: Table, state: Value, status: Value, row_id: UUID) -> dict[str, Value]:
    options = table.columns[_STATUS].options
    if status is None:
        status = next(one.value for one in options if one.state == state and one.default)
    if not any(one.value == status and one.state == state for one in options):
        label = next((one.label for one in table.columns[_STATE].options if one.value == state), state)
        raise Refusal.STATUS_NOT_OF_STATE(
            status=status, state=f"{table.name}State.{label}", table=table.name, id=row_id
        )
    return {_STATE: state, _STATUS: status}
