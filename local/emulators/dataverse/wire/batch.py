"""`$batch`: many requests in one, in order, each with its own answer.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

import re
from dataclasses import replace
from typing import Protocol

from local.emulators.dataverse.errors import DataverseError, Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.multipart import BatchPart, ChangeSet, read_batch, write_batch

BATCH_LIMIT = 1000
_FAILED = 400
_REFERENCE = re.compile(r"^\$([\w-]+)")
type Answers = list[tuple[str, ODataResponse]]


class _ChangeSetFailedError(Exception):
    def __init__(self, response: ODataResponse) -> None:
        self.response = response


class Operations(Protocol):
    """What carries out the single operations of a batch."""

    async def handle(self, request: ODataRequest) -> ODataResponse:
        """Carry out one operation atomically, after the time that its rows cost, and count it."""
        ...

    async def prepare(self, request: ODataRequest) -> None:
        """Let the time pass that an operation takes before it is carried out."""
        ...

    def handle_now(self, request: ODataRequest) -> ODataResponse:
        """Carry out one operation at once."""
        ...

    def count(self, request: ODataRequest, response: ODataResponse, *, undone: bool = False) -> None:
        """Count an operation and the rows that it wrote, none if they were rolled back."""
        ...


class BatchRunner:
    """Runs batches."""

    def __init__(self, dataverse: Dataverse, operations: Operations) -> None:
        self._dataverse = dataverse
        self._operations = operations

    async def run(self, request: ODataRequest) -> ODataResponse:
        """Answer a batch: 200, or the failed part's status where nothing was to follow it."""
        items = read_batch(request.headers.get("content-type", ""), request.body)
        size = sum(len(item.parts) if isinstance(item, ChangeSet) else 1 for item in items)
        if size > BATCH_LIMIT:
            raise Refusal.TOO_MANY_IN_BATCH(limit=BATCH_LIMIT)
        go_on = "odata.continue-on-error" in request.preferences
        answers: list[ODataResponse | Answers] = []
        status = 200
        for item in items:
            answer = (
                await self._change_set(request, item)
                if isinstance(item, ChangeSet)
                else await self._operations.handle(_embedded(request, item))
            )
            answers.append(answer)
            if isinstance(answer, ODataResponse) and answer.status >= _FAILED and not go_on:
                status = answer.status
                break
        content_type, body = write_batch(answers, str(self._dataverse.new_id()))
        headers = {"Content-Type": content_type, "OData-Version": "4.0"}
        if go_on:
            headers["Preference-Applied"] = "odata.continue-on-error"
        return ODataResponse(status, headers, body)

    async def _change_set(self, outer: ODataRequest, change_set: ChangeSet) -> ODataResponse | Answers:
        answers: Answers = []
        done: list[tuple[ODataRequest, ODataResponse]] = []
        created: dict[str, str] = {}
        try:
            for part in change_set.parts:
                _check(part)
                await self._operations.prepare(_embedded(outer, part))
            with self._dataverse.transaction():
                for part in change_set.parts:
                    request = _embedded(outer, _resolved(part, created))
                    response = self._carry_out(request, done)
                    entity_id = response.headers.get("OData-EntityId", "")
                    if entity_id.startswith(outer.root):
                        created[part.content_id or ""] = entity_id.removeprefix(f"{outer.root}/")
                    answers.append((part.content_id or "", response))
        except _ChangeSetFailedError as failed:
            self._count(done, undone=True)
            return failed.response
        except DataverseError as error:
            self._count(done, undone=True)
            return ODataResponse.refused(error)
        self._count(done, undone=False)
        return answers

    def _carry_out(self, request: ODataRequest, done: list[tuple[ODataRequest, ODataResponse]]) -> ODataResponse:
        response = self._operations.handle_now(request)
        done.append((request, response))
        if response.status >= _FAILED:
            raise _ChangeSetFailedError(response)
        return response

    def _count(self, done: list[tuple[ODataRequest, ODataResponse]], *, undone: bool) -> None:
        for request, response in done:
            self._operations.count(request, response, undone=undone)


def _check(part: BatchPart) -> None:
    if part.method == "GET":
        raise Refusal.PAYLOAD(set="$batch", detail="A change set must not hold GET requests.")
    if part.content_id is None:
        raise Refusal.PAYLOAD(set="$batch", detail="Each request of a change set needs a Content-ID header.")


def _resolved(part: BatchPart, created: dict[str, str]) -> BatchPart:
    """The part with the rows that parts before it created, in place of `$` and their Content-IDs."""
    body = part.body
    for content_id, path_of in created.items():
        body = body.replace(f'"${content_id}"'.encode(), f'"/{path_of}"'.encode())
    return replace(part, path=_REFERENCE.sub(lambda match: created.get(match[1], match[0]), part.path), body=body)


def _embedded(outer: ODataRequest, part: BatchPart) -> ODataRequest:
    compatible = "ieee754compatible=true" in part.headers.get("content-type", "").replace(" ", "").lower()
    return ODataRequest(
        method=part.method,
        path=part.path,
        query=part.query,
        headers=part.headers,
        body=part.body,
        root=outer.root,
        caller=replace(outer.caller, numbers_as_text=compatible),
        pace=outer.pace,
        in_batch=True,
    )
