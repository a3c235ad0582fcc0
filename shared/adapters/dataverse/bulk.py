"""Many rows in few requests: creates by CreateMultiple, updates in `$batch`, a result for every row.

CreateMultiple is one transaction: one bad row refuses them all, be it by a plug-in's failure. A refused chunk is
therefore sent again row by row within one `$batch`, so that good rows land and each bad one is named. CreateMultiple
answers only ids, so the rows are read back by further requests of the same batch: what Dataverse stored may differ from
what it was sent.

A batch's answers belong to its rows by their order alone. Each row that is answered is therefore held against its
write: where one is another's, or an answer is missing, no refusal is believed to be anybody's.
"""

from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import httpx

from shared.adapters.dataverse.answers import json_of, of_all_rows, record_of, records_of
from shared.adapters.dataverse.chunks import ChunkSize
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.culprit import find_culprits
from shared.adapters.dataverse.lookups import Lookups
from shared.adapters.dataverse.multipart import Part, decode, encode
from shared.adapters.dataverse.query import fold, in_filters
from shared.adapters.dataverse.references import References
from shared.adapters.dataverse.refusals import failure, is_duplicate, refusal, taken
from shared.adapters.dataverse.wire import Codes, dumps, to_columns
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, NotAuthorized, RejectedByTarget, SyncError, Throttled, Unavailable
from shared.flows.ports.engine import Clock, Failed

BULK_TIMEOUT: Final = 120.0
"""Seconds: Dataverse ends a request after two minutes."""

# Below this a CreateMultiple saves nothing, and a batch names its rows at once.
_FEW: Final = 4
_NO_SUCH_MESSAGE: Final = "0x80040800"
_NO_SUCH_ROW: Final = "0x80040217"
_NO_SUCH_ADDRESS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})

_WHATEVER_IS_ASKED: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

type Result = DynamicsRecord | Failed


class BulkWriter:
    """Writes chunks of rows of one kind. Nothing is sent after the deadline, and no failure of a chunk escapes."""

    def __init__(self, client: DataverseClient, clock: Clock, lookups: Lookups) -> None:
        self._client = client
        self._lookups = lookups
        self._clock = clock
        self._sizes: dict[str, ChunkSize] = {}
        self._without_create_multiple: set[str] = set()

    def size(self, entity: EntityMapping, kind: str) -> int:
        """How many rows the next request of this kind should hold."""
        return self._size(entity, kind).rows

    def _size(self, entity: EntityMapping, kind: str) -> ChunkSize:
        return self._sizes.setdefault(f"{kind} {entity.table}", ChunkSize())

    async def create(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[Result]:
        """Create rows; each may fail alone. `references` holds what the codes of their lookups refer to."""
        if len(writes) >= _FEW and entity.table not in self._without_create_multiple:
            results = await self._create_multiple(entity, writes, references, deadline)
            if results is not None:
                return results
        return await self._each(entity, writes, references, deadline)

    async def update(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[Result]:
        """Update rows, each under its own etag."""
        return await self._each(entity, writes, references, deadline)

    async def _each(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[Result]:
        async def perform(parts: Sequence[DynamicsWrite]) -> Sequence[Result]:
            return await self._singly(entity, parts, references, deadline)

        return await find_culprits(entity, writes, list(await perform(writes)), perform)

    async def _singly(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[Result]:
        parts = _parts(self._client.base_url, entity, writes, references)
        creating = any(write.id is None for write in writes)
        size = self._size(entity, "create" if creating else "update")
        try:
            answers = await self._batch(parts, deadline, size, rows=len(parts), keep_going=True)
        except SyncError as error:
            return _all_failed(writes, error)
        codes = await self._codes(entity, answers, references)
        results = self._results(entity, writes, answers, codes)
        return await self._decided(entity, writes, results, deadline) if creating else results

    async def _codes(
        self, entity: EntityMapping, answers: Sequence[httpx.Response | None], references: References
    ) -> Codes | None:
        """The codes of the rows that the answers refer to; None where Dynamics could not be asked for them."""
        if not entity.lookups:
            return {}
        try:
            rows = [json_of(answer) for answer in answers if answer is not None and answer.is_success]
            shown = [one for row in rows for one in row.get("value", [row])]
            return await self._lookups.codes(entity, shown, references)
        except (SyncError, AttributeError, TypeError):
            return None

    async def _create_multiple(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[Result] | None:
        """All rows, or None when Dynamics refused the chunk as a whole and nothing was created."""
        targets = [
            {"@odata.type": f"Microsoft.Dynamics.CRM.{entity.table}", **to_columns(entity, write, references.bindings)}
            for write in writes
        ]
        url = f"{self._client.base_url}/{entity.set}"
        create = Part("POST", f"{url}/Microsoft.Dynamics.CRM.CreateMultiple", dumps({"Targets": targets}))
        reads = [
            Part("GET", f"{url}?{urlencode({'$select': ','.join(entity.select), '$filter': condition})}")
            for _, condition in in_filters(entity.key.column, [write.key for write in writes])
        ]
        size = self._size(entity, "create")
        try:
            # Without continue-on-error: when the create is refused, there is nothing to read back.
            created, *read = await self._batch([create, *reads], deadline, size, rows=len(writes))
        except SyncError as error:
            return _all_failed(writes, error)
        if created is None:
            return _all_failed(writes, Unavailable("Dynamics' answer to CreateMultiple was cut off."))
        if not created.is_success:
            return self._refused(entity, writes, created)
        rows: dict[str, DynamicsRecord] = {}
        codes = await self._codes(entity, read, references)
        for answer in read if codes is not None else ():
            rows.update(_read_back(entity, answer, codes or {}))
        # Created but not read back: the engine asks once more, and then its intent tells what became of it.
        unread = Failed(Unavailable("The rows were created, but could not be read back."), unknown=True)
        return [row if (row := rows.get(write.key)) is not None and _is_of(write, row) else unread for write in writes]

    def _refused(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], answer: httpx.Response
    ) -> Sequence[Result] | None:
        error = failure(answer, self._clock.now(), of_row=True)
        # A plug-in may choose these statuses too.
        of_a_row = isinstance(error, (RejectedByTarget, Conflict))
        if error.code == _NO_SUCH_MESSAGE or (answer.status_code in _NO_SUCH_ADDRESS and not of_a_row):
            self._without_create_multiple.add(entity.table)
            return None
        if isinstance(error, Throttled) or (
            isinstance(error, (Unavailable, NotAuthorized)) and answer.status_code in _WHATEVER_IS_ASKED
        ):
            # The next request would be answered alike.
            self._heed(error)
            return _all_failed(writes, error)
        # Nothing was created. Were that not so: a repeat has the same ids and keys, and makes no second row.
        return None

    async def _batch(
        self, parts: Sequence[Part], deadline: float, size: ChunkSize, *, rows: int, keep_going: bool = False
    ) -> list[httpx.Response | None]:
        content_type, body = encode(parts)
        headers = {"Content-Type": content_type}
        if keep_going:
            headers["Prefer"] = "odata.continue-on-error"
        try:
            with of_all_rows():
                response, seconds = await self._client.timed(
                    "POST", "$batch", body=body, headers=headers, seconds=BULK_TIMEOUT, deadline=deadline
                )
            answers = decode(response, parts)
        except SyncError as error:
            if _unknown(error) or error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                size.failed(rows)
            raise
        except ValueError as error:
            raise Unavailable("Dynamics answered a batch with something else: a proxy may stand between.") from error
        size.took(rows, seconds)
        return answers

    def _results(
        self,
        entity: EntityMapping,
        writes: Sequence[DynamicsWrite],
        answers: Sequence[httpx.Response | None],
        codes: Codes | None,
    ) -> list[Result]:
        results = [self._result(entity, write, answer, codes) for write, answer in zip(writes, answers, strict=True)]
        strays = {
            number
            for number, (write, row) in enumerate(zip(writes, results, strict=True))
            if isinstance(row, DynamicsRecord) and not _is_of(write, row)
        }
        if None in answers or strays:
            for number, row in enumerate(results):
                if number in strays or isinstance(row, Failed):
                    results[number] = _unanswered()
        return results

    def _result(
        self, entity: EntityMapping, write: DynamicsWrite, answer: httpx.Response | None, codes: Codes | None
    ) -> Result:
        if answer is None:
            return _unanswered()
        if not answer.is_success:
            error = refusal(entity, write, answer, self._clock.now())
            self._heed(error)
            if error.code == _NO_SUCH_ROW:
                # It may be a row that a lookup refers to: whoever tries again asks for its code anew.
                self._lookups.forget(entity)
            return Failed(error, unknown=_unknown(error))
        if codes is None:
            return Failed(Unavailable("The row was written, but its lookups could not be read back."), unknown=True)
        try:
            return record_of(entity, answer, codes)
        except Unavailable as error:
            return Failed(error, unknown=True)

    async def _decided(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], results: list[Result], deadline: float
    ) -> list[Result]:
        """The results of creates, with those that met a duplicate told apart.

        Where the business key, or the row itself, is there now, another write was faster: a lost race. Where neither
        is, some other key of the table refuses the row, and always will. One request asks for all rows; while it cannot
        tell, they stay lost races, which are read again in any case. An answer that blames the business key needs none.
        """
        refused: dict[int, SyncError] = {}
        for number, result in enumerate(results):
            if isinstance(result, Failed) and is_duplicate(result.error):
                error = taken(entity, result.error)
                if error.field != entity.key.name:
                    refused[number] = error
        absent = await self._absent(entity, [writes[number] for number in refused], deadline) if refused else ()
        for number, error in refused.items():
            if writes[number].key in absent:
                results[number] = Failed(error)
        return results

    async def _absent(self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float) -> Collection[str]:
        """The keys of those writes of which a list of Dynamics shows neither the key nor the row."""
        url = f"{self._client.base_url}/{entity.set}"
        ids = [write.new_id.lower() for write in writes if write.new_id is not None]
        reads = [
            Part("GET", f"{url}?{urlencode({'$select': ','.join(entity.select), '$filter': condition})}")
            for _, condition in (
                *in_filters(entity.key.column, [write.key for write in writes]),
                *in_filters(entity.id, ids, guids=True),
            )
        ]
        try:
            answers = await self._batch(reads, deadline, ChunkSize(), rows=len(reads), keep_going=True)
            rows = [row for answer in answers for row in _list(entity, answer, {})]
        except SyncError:
            return ()
        asked = {fold(write.key) for write in writes}
        if any(row.id not in ids and fold(row.key) not in asked for row in rows):
            return ()  # which key Dynamics takes that row for, only its collation knows
        there = {row.id for row in rows} | {fold(row.key) for row in rows}
        return {write.key for write in writes if there.isdisjoint({(write.new_id or "").lower(), fold(write.key)})}

    def _heed(self, error: SyncError) -> None:
        if isinstance(error, Throttled):
            self._client.gate.throttled(error.retry_after)


def _list(entity: EntityMapping, answer: httpx.Response | None, codes: Codes) -> list[DynamicsRecord]:
    """The rows of a read within a batch.

    Raises:
        Unavailable: It was not answered, or not with a list: nothing is known to be absent.
    """
    if answer is None or not answer.is_success:
        raise Unavailable("Dynamics did not answer a read within a batch.")
    return records_of(entity, json_of(answer), codes)


def _read_back(entity: EntityMapping, answer: httpx.Response | None, codes: Codes) -> dict[str, DynamicsRecord]:
    try:
        return {row.key: row for row in _list(entity, answer, codes)}
    except Unavailable:
        return {}  # its rows count as not read back


def _is_of(write: DynamicsWrite, row: DynamicsRecord) -> bool:
    """Whether an answered row is the written one, by its id, or by its key where Dynamics gave the id."""
    row_id = write.id or write.new_id
    return row.key == write.key if row_id is None else row.id == row_id.lower()


def _unanswered() -> Failed:
    return Failed(
        Unavailable("Dynamics' answer to a batch was cut off, or lacks what it says of this row."), unknown=True
    )


def _all_failed(writes: Sequence[DynamicsWrite], error: SyncError) -> Sequence[Result]:
    return [Failed(error, unknown=_unknown(error))] * len(writes)


def _unknown(error: SyncError) -> bool:
    return isinstance(error, Unavailable) and error.sent


def _parts(base_url: str, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References) -> list[Part]:
    """A request for each row. The query is encoded once for all of them: the column list is the same."""
    address = f"{base_url}/{entity.set}"
    query = urlencode({"$select": ",".join(entity.select)})
    parts: list[Part] = []
    for write in writes:
        body = dumps(to_columns(entity, write, references.bindings))
        headers = {"Prefer": "return=representation"}
        if write.id is None:
            parts.append(Part("POST", f"{address}?{query}", body, headers))
        else:
            headers["If-Match"] = str(write.etag)
            parts.append(Part("PATCH", f"{address}({write.id})?{query}", body, headers))
    return parts
