"""What a user may do with a table and its columns."""

from collections.abc import Iterable

from local.emulators.dataverse.changes import Caller
from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.schema import Table


def demand(caller: Caller, privilege: str, table: Table) -> None:
    """Refuse a user without a privilege such as `Create`; DataverseError MISSING_PRIVILEGE."""
    if f"{privilege}:{table.name}" in caller.user.denied:
        raise Refusal.MISSING_PRIVILEGE(user=caller.user.id, privilege=f"prv{privilege}{table.name}")


def demand_columns(caller: Caller, table: Table, names: Iterable[str], use: str) -> None:
    """Refuse secured columns; the service's sentence names none of them."""
    if not all(table.columns[name].allows(caller.user.application_id, use) for name in names):
        refusal = Refusal.SECURED_ON_CREATE if use == "create" else Refusal.SECURED_ON_UPDATE
        raise refusal()
