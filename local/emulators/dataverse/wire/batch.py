"""`$batch`: many requests in one, in order, each with its own answer.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

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


class BatchRunner:
    """Runs batches. `perform` carries out one request with its cost in time, `perform_now` without, for change sets."""

    def __init__(
        self,
        dataverse: Dataverse,
        perform: Callable[[ODataRequest], Awaitable[ODataResponse]],
        perform_now: Callable[[ODataRequest], ODataResponse],
    ) -> None:
        self._dataverse = dataverse
        self._perform = perform
        self._perform_now = perform_now

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
                self._change_set(request, item) if isinstance(item, ChangeSet) else await self._single(request, item)
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

    async def _single(self, outer: ODataRequest, part: BatchPart) -> ODataResponse:
        return await self._perform(_embedded(outer, part))

    def _change_set(self, outer: ODataRequest, change_set: ChangeSet) -> ODataResponse | Answers:
        answers: Answers = []
        created: dict[str, str] = {}
        try:
            with self._dataverse.transaction():
                for part in change_set.parts:
                    response = self._changed(outer, part, created)
                    answers.append((part.content_id or "", response))
        except _ChangeSetFailedError as failed:
            return failed.response
        except DataverseError as error:
            return ODataResponse.refused(error)
        return answers

    def _changed(self, outer: ODataRequest, part: BatchPart, created: dict[str, str]) -> ODataResponse:
        if part.method == "GET":
            raise Refusal.PAYLOAD(set="$batch", detail="A change set must not hold GET requests.")
        if part.content_id is None:
            raise Refusal.PAYLOAD(set="$batch", detail="Each request of a change set needs a Content-ID header.")
        path = _REFERENCE.sub(lambda match: created.get(match[1], match[0]), part.path)
        body = part.body
        for content_id, path_of in created.items():
            body = body.replace(f'"${content_id}"'.encode(), f'"/{path_of}"'.encode())
        response = self._perform_now(_embedded(outer, replace(part, path=path, body=body)))
        if response.status >= _FAILED:
            raise _ChangeSetFailedError(response)
        entity_id = response.headers.get("OData-EntityId", "")
        if entity_id.startswith(outer.root):
            created[part.content_id] = entity_id.removeprefix(f"{outer.root}/")
        return response


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
        in_batch=True,
    )
