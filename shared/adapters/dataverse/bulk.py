"""Many rows in few requests: creates by CreateMultiple, updates in `$batch`, a result for every row.

CreateMultiple is one transaction: one bad row refuses them all. A refused chunk is therefore sent again row by row
within one `$batch`, so that good rows land and each bad one is named. CreateMultiple answers only ids, so the
rows are read back as the second request of the same batch: what Dataverse stored may differ from what it was sent.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import httpx

from shared.adapters.dataverse.client import DataverseClient, failure, json_of
from shared.adapters.dataverse.multipart import Part, decode, encode
from shared.adapters.dataverse.query import FILTER_BYTES, in_filters
from shared.adapters.dataverse.wire import dumps, to_columns, to_record
from shared.domain.mapping import EntityMapping
from shared.domain.model import DynamicsRecord
from shared.errors import Conflict, PermanentError, RejectedByTarget, SyncError, Throttled, TransientError, Unavailable
from shared.flows.ports import Clock, DynamicsWrite, Failed

BULK_TIMEOUT: Final = 120.0
"""Seconds: Dataverse ends a request after two minutes."""

FIRST_CHUNK: Final = 250
LARGEST_CHUNK: Final = 1000
AIM_SECONDS: Final = 10.0
# Below this a CreateMultiple saves nothing, and a batch names its rows at once.
_FEW: Final = 4

type Result = DynamicsRecord | Failed


class ChunkSize:
    """Rows in one request, adapting so that a request takes about ten seconds."""

    def __init__(self) -> None:
        self.rows = FIRST_CHUNK

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a request that succeeded."""
        if seconds > AIM_SECONDS:
            self.rows = max(10, int(rows * AIM_SECONDS / seconds))
        elif rows >= self.rows and seconds < AIM_SECONDS / 2:
            self.rows = min(self.rows * 2, LARGEST_CHUNK)


class BulkWriter:
    """Writes chunks of rows of one kind. Nothing is sent after the deadline."""

    def __init__(self, client: DataverseClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._sizes: dict[str, ChunkSize] = {}
        self._without_create_multiple: set[str] = set()

    def size(self, entity: EntityMapping, kind: str) -> int:
        """How many rows the next request of this kind should hold."""
        return self._size(entity, kind).rows

    def _size(self, entity: EntityMapping, kind: str) -> ChunkSize:
        return self._sizes.setdefault(f"{kind} {entity.table}", ChunkSize())

    async def create(self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float) -> Sequence[Result]:
        """Create rows; each may fail alone."""
        if len(writes) >= _FEW and entity.table not in self._without_create_multiple:
            results = await self._create_multiple(entity, writes, deadline)
            if results is not None:
                return results
        return await self._each(entity, writes, deadline, "create")

    async def update(self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float) -> Sequence[Result]:
        """Update rows, each under its own etag."""
        return await self._each(entity, writes, deadline, "update")

    async def _each(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float, kind: str
    ) -> Sequence[Result]:
        parts = [self._part(entity, write) for write in writes]
        size = self._size(entity, kind)
        try:
            answers = await self._batch(parts, deadline, size, keep_going=True)
        except SyncError as error:
            return [Failed(error, unknown=_unknown(error))] * len(writes)
        return [self._result(entity, answer) for answer in answers]

    async def _create_multiple(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float
    ) -> Sequence[Result] | None:
        """All rows, or None when Dynamics refused the chunk as a whole and nothing was created."""
        filters = list(in_filters(entity.key.column, [write.key for write in writes], budget=FILTER_BYTES))
        targets = [
            {"@odata.type": f"Microsoft.Dynamics.CRM.{entity.table}", **to_columns(entity, write)} for write in writes
        ]
        url = f"{self._client.base_url}/{entity.set}"
        create = Part("POST", f"{url}/Microsoft.Dynamics.CRM.CreateMultiple", dumps({"Targets": targets}))
        reads = [
            Part("GET", str(httpx.URL(url, params={"$select": ",".join(entity.select), "$filter": condition})))
            for _, condition in filters
        ]
        size = self._size(entity, "create")
        try:
            # Without continue-on-error: when the create is refused, there is nothing to read back.
            created, *read = await self._batch([create, *reads], deadline, size, rows=len(writes))
        except SyncError as error:
            if isinstance(error, PermanentError):
                return None
            return [Failed(error, unknown=_unknown(error))] * len(writes)
        if created is None:
            lost = Unavailable("Dynamics' answer to CreateMultiple was cut off.")
            return [Failed(lost, unknown=True)] * len(writes)
        if not created.is_success:
            return self._refused(entity, failure(created), len(writes))
        rows: dict[str, DynamicsRecord] = {}
        for answer in read:
            if answer is not None and answer.is_success:
                rows.update((row.key, row) for row in map(_reader(entity), json_of(answer).get("value", ())))
        # Created but not read back: its intent tells, after its expiry, what became of it.
        unread = Failed(Unavailable("The rows were created, but could not be read back."), unknown=True)
        return [rows.get(write.key, unread) for write in writes]

    def _refused(self, entity: EntityMapping, error: SyncError, count: int) -> Sequence[Result] | None:
        if error.status == HTTPStatus.NOT_FOUND or "CreateMultiple" in error.message.split("(", 1)[-1]:
            self._without_create_multiple.add(entity.table)
            return None
        if isinstance(error, (PermanentError, Conflict)):
            return None
        if isinstance(error, Throttled):
            self._client.gate.throttled(error.retry_after)
        return [Failed(error, unknown=_unknown(error))] * count

    async def _batch(
        self,
        parts: Sequence[Part],
        deadline: float,
        size: ChunkSize,
        *,
        keep_going: bool = False,
        rows: int | None = None,
    ) -> list[httpx.Response | None]:
        started = self._clock.monotonic()
        seconds = min(BULK_TIMEOUT, deadline - started)
        if seconds <= 0:
            raise Unavailable("The time for writing to Dynamics was over before these rows' turn.", sent=False)
        content_type, body = encode(parts)
        headers = {"Content-Type": content_type}
        if keep_going:
            headers["Prefer"] = "odata.continue-on-error"
        response = await self._client.send("POST", "$batch", body=body, headers=headers, seconds=seconds)
        try:
            answers = decode(response, parts)
        except ValueError as error:
            raise Unavailable("Dynamics answered a batch with something else: a proxy may stand between.") from error
        size.took(rows if rows is not None else len(parts), self._clock.monotonic() - started)
        return answers

    def _part(self, entity: EntityMapping, write: DynamicsWrite) -> Part:
        url = f"{self._client.base_url}/{entity.set}"
        headers = {"Prefer": "return=representation"}
        if write.id is not None:
            url = f"{url}({write.id})"
            headers["If-Match"] = write.etag or "*"
        return Part(
            "POST" if write.id is None else "PATCH",
            str(httpx.URL(url, params={"$select": ",".join(entity.select)})),
            dumps(to_columns(entity, write)),
            headers,
        )

    def _result(self, entity: EntityMapping, answer: httpx.Response | None) -> Result:
        if answer is None:
            return Failed(Unavailable("Dynamics' answer to a batch was cut off before this row."), unknown=True)
        if not answer.is_success:
            error = named(entity, failure(answer))
            if isinstance(error, Throttled):
                self._client.gate.throttled(error.retry_after)
            return Failed(error, unknown=_unknown(error))
        try:
            return to_record(entity, json_of(answer))
        except (TransientError, KeyError, TypeError) as error:
            lost = Unavailable(f"Dynamics' answer for a row cannot be read: {type(error).__name__}.")
            return Failed(lost, unknown=True)


def named(entity: EntityMapping, error: SyncError) -> SyncError:
    """Name the CMMS's field instead of Dynamics' column, and drop a column that is not one of ours."""
    column = error.field
    error.field = next(
        (
            rule.name
            for rule in entity.fields.values()
            if column is not None and column in {rule.column, rule.write_column, rule.state_column}
        ),
        None,
    )
    if error.field is not None and isinstance(error, RejectedByTarget):
        error.message = f"{error.field}: {error.message}"
    return error


def _unknown(error: SyncError) -> bool:
    return isinstance(error, Unavailable) and error.sent


def _reader(entity: EntityMapping) -> Callable[[dict[str, object]], DynamicsRecord]:
    return lambda row: to_record(entity, row)
