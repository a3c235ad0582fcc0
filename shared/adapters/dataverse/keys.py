"""Whether a table's alternate key protects it: without an active one, two creates make two rows."""

from datetime import timedelta
from typing import Final

from shared.adapters.dataverse.client import DataverseClient, json_of
from shared.domain.mapping import EntityMapping
from shared.errors import NotReady, PermanentError
from shared.flows.ports import Clock

RECHECK: Final = timedelta(minutes=1)


class AlternateKeys:
    """Remembers which keys are active; one that is not is asked for again after a minute."""

    def __init__(self, client: DataverseClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._active: set[str] = set()
        self._refused: dict[str, tuple[float, str]] = {}

    async def insist(self, entity: EntityMapping) -> None:
        """Make sure that the entity's key is active.

        Raises:
            NotReady: It is not; says its state and what to do.
            TransientError: Dynamics could not be asked.
        """
        if entity.table in self._active:
            return
        until, problem = self._refused.get(entity.table, (0.0, ""))
        if self._clock.monotonic() >= until:
            problem = await self._problem(entity)
            if not problem:
                self._active.add(entity.table)
                return
            self._refused[entity.table] = (self._clock.monotonic() + RECHECK.total_seconds(), problem)
        raise NotReady(problem, retry_after=RECHECK)

    async def _problem(self, entity: EntityMapping) -> str:
        wanted = f"The alternate key {entity.alternate_key} on {entity.table}.{entity.key.column}"
        why = "Nothing is created without it, because nothing else stops a second row for the same key."
        try:
            answer = json_of(
                await self._client.send(
                    "GET",
                    f"EntityDefinitions(LogicalName='{entity.table}')/Keys",
                    params={"$select": "SchemaName,KeyAttributes,EntityKeyIndexStatus"},
                )
            )
        except PermanentError as error:
            return f"{wanted} cannot be looked up: {error.message} {why}"
        for key in answer.get("value", ()):
            if key.get("KeyAttributes") == [entity.key.column]:
                status = key.get("EntityKeyIndexStatus")
                return "" if status == "Active" else f"{wanted} is {status}: wait until it is Active. {why}"
        return f"{wanted} does not exist: create it. {why}"
