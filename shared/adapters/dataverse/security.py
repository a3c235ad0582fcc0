"""Which mapped columns our user may not read: they come as null, and a null must not be taken for an edit.

Column security ("field-level security"), as documented:
- which columns are secured is in their definitions (`IsSecured`), which everybody may read:
  https://learn.microsoft.com/power-apps/developer/data-platform/column-level-security
- what a user may do with secured columns tells RetrievePrincipalAttributePrivileges, by profiles and teams; it needs
  no privilege beyond reading users, which an application user's role has:
  https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveprincipalattributeprivileges

A table without secured columns costs one request, any other two.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Any, Final
from uuid import UUID

from shared.adapters.dataverse.answers import json_of, of_all_rows
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.query import definition
from shared.domain.schema.mapping import EntityMapping
from shared.errors import NotAuthorized, Unavailable
from shared.flows.operate.required import attribute_of
from shared.flows.ports.engine import Clock
from shared.flows.ports.platform import ColumnAccess

ALLOWED: Final = 4
"""`field_security_permission_type`: 0 not allowed, 4 allowed."""
# Definitions are cached per web server; without this a read may show them as they were.
_CONSISTENT: Final = {"Consistency": "Strong"}


class ColumnSecurity:
    """Asks which columns our user may not read; all who ask at the same time share one answer."""

    def __init__(self, client: DataverseClient, clock: Clock, user: Callable[[], Awaitable[UUID]]) -> None:
        """`user` gives the id of the user that is signed in."""
        self._client = client
        self._clock = clock
        self._user = user
        self._known: dict[str, tuple[float, frozenset[str]]] = {}
        """By table, with when the question was put: an answer may be older than its arrival."""
        self._asking = asyncio.Lock()

    async def unreadable(self, entity: EntityMapping) -> frozenset[str]:
        """The mapped columns that read as null for our user, from this moment on.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """
        asked_at = self._clock.monotonic()
        async with self._asking:
            known_at, columns = self._known.get(entity.table, (-inf, frozenset[str]()))
            if known_at >= asked_at:
                return columns
            put_at = self._clock.monotonic()
            columns = await self._ask(entity)
            self._known[entity.table] = put_at, columns
            return columns

    async def _ask(self, entity: EntityMapping) -> frozenset[str]:
        names = {attribute_of(column): column for column in entity.select}
        secured = {found: names[name] for name, found in (await self._secured(entity)).items() if name in names}
        if not secured:
            return frozenset()
        try:
            access = await column_access(self._client, await self._user())
        except NotAuthorized:
            # Nothing says that the secured columns can be read, so that a null in one proves nothing.
            access = {}
        return frozenset(column for found, column in secured.items() if found not in access or not access[found].read)

    async def _secured(self, entity: EntityMapping) -> dict[str, UUID]:
        with of_all_rows():
            response = await self._client.send(
                "GET",
                f"{definition(entity.table)}/Attributes",
                params={"$select": "LogicalName,MetadataId", "$filter": "IsSecured eq true"},
                headers=_CONSISTENT,
            )
        try:
            return {one["LogicalName"]: UUID(one["MetadataId"]) for one in json_of(response)["value"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(
                f"Dynamics' list of the secured columns of {entity.table} has an unknown form."
            ) from error


async def column_access(client: DataverseClient, user: UUID) -> dict[UUID, ColumnAccess]:
    """What a user may do with secured columns, by the columns' MetadataId; a column that is missing is closed to it.

    Raises:
        NotAuthorized: Our user may not ask.
        TransientError: Dynamics could not be asked.
    """
    with of_all_rows():
        response = await client.send(
            "GET", f"systemusers({user})/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"
        )
    try:
        return {UUID(one["AttributeId"]): _access(one) for one in json_of(response)["AttributePrivileges"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("Dynamics' list of a user's column permissions has an unknown form.") from error


def _access(one: Mapping[str, Any]) -> ColumnAccess:
    return ColumnAccess(
        read=one.get("CanRead") == ALLOWED,
        update=one.get("CanUpdate") == ALLOWED,
        create=one.get("CanCreate") == ALLOWED,
    )
