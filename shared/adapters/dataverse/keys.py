"""Whether a table's alternate key protects it: without an active one, two creates make two rows."""

import asyncio
from datetime import timedelta
from typing import Final

from shared.adapters.dataverse.answers import json_of, of_all_rows
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.query import definition
from shared.domain.schema.mapping import EntityMapping
from shared.errors import NotReady, Unavailable
from shared.flows.ports.engine import Clock

RECHECK: Final = timedelta(minutes=1)


class AlternateKeys:
    """Remembers the state of each key for a minute: one that is active may be deleted, and one that is not repaired."""

    def __init__(self, client: DataverseClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._active: dict[str, float] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self._asking = asyncio.Lock()

    async def insist(self, entity: EntityMapping) -> None:
        """Make sure that the entity's key is active.

        Raises:
            NotReady: It is not; says its state and what to do.
            TransientError: Dynamics could not be asked.
        """
        async with self._asking:
            now = self._clock.monotonic()
            if now < self._active.get(entity.table, now):
                return
            until, problem = self._refused.get(entity.table, (now, ""))
            if now >= until:
                problem = await self._problem(entity)
                again = self._clock.monotonic() + RECHECK.total_seconds()
                if not problem:
                    self._active[entity.table] = again
                    return
                self._refused[entity.table] = (again, problem)
        raise NotReady(problem, retry_after=RECHECK)

    async def _problem(self, entity: EntityMapping) -> str:
        columns = [entity.key.column]
        wanted = f"The alternate key {entity.alternate_key} on {entity.table}.{entity.key.column}"
        why = "Nothing is created without it, because nothing else stops a second row for the same key."
        try:
            with of_all_rows():
                response = await self._client.send(
                    "GET",
                    f"{definition(entity.table)}/Keys",
                    params={"$select": "SchemaName,KeyAttributes,EntityKeyIndexStatus"},
                )
        except NotReady as error:
            return f"{wanted} cannot be looked up: {error.message} {why}"
        found = json_of(response).get("value")
        if not isinstance(found, list) or not all(isinstance(key, dict) for key in found):
            raise Unavailable(f"Dynamics' list of the keys of {entity.table} has an unknown form.")
        states = {str(key.get("EntityKeyIndexStatus")) for key in found if key.get("KeyAttributes") == columns}
        if "Active" in states:
            return ""
        if states:
            return f"{wanted} is {' and '.join(sorted(states))}: wait until it is Active, or repair it. {why}"
        return f"{wanted} does not exist: create it. {why}"
