"""Webhook registrations over the Web API: the service endpoint, its steps and their images.

Columns and values: https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/serviceendpoint,
`.../sdkmessageprocessingstep`, `.../sdkmessageprocessingstepimage`; what is sent:
https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID
from xml.sax.saxutils import quoteattr

from shared.adapters.dataverse.answers import json_of
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.query import literal
from shared.errors import NotReady, Unavailable
from shared.flows.ports.platform import Endpoint, Image, Step

MADE: Final = "Made by energy-dynamics-sync"
"""The mark on everything that provision makes: `--remove` takes nothing else away."""

_FINGERPRINT: Final = "; secret "
_WEBHOOK: Final = 8
_HTTP_HEADER: Final = 5
_POST_OPERATION: Final = 40
_MESSAGES: Final = ("Create", "Update", "Delete", "CreateMultiple", "UpdateMultiple")
# Definitions are cached per web server; without this a read may show them as they were.
_CONSISTENT: Final = {"Consistency": "Strong"}


class Registration:
    """The webhook side of the platform; `headers` go onto every write."""

    def __init__(self, client: DataverseClient, headers: Mapping[str, str]) -> None:
        self._client = client
        self._headers = headers
        self._ids: dict[str, str] | None = None

    async def endpoint(self, name: str) -> Endpoint | None:
        """The webhook endpoint of that name."""
        answer = await self._get(
            "serviceendpoints",
            {
                "$select": "serviceendpointid,name,url,authtype,description",
                "$filter": f"contract eq {_WEBHOOK} and name eq {literal(name)}",
            },
        )
        for one in answer.get("value", ()):
            mark, _, fingerprint = str(one.get("description") or "").partition(_FINGERPRINT)
            return Endpoint(
                name,
                str(one.get("url") or ""),
                int(one.get("authtype") or 0),
                fingerprint or None,
                UUID(one["serviceendpointid"]),
                made=mark == MADE,
            )
        return None

    async def steps(self, endpoint: UUID) -> list[Step]:
        """The steps that call an endpoint, with their images."""
        answer = await self._get(
            "sdkmessageprocessingsteps",
            {
                "$select": "sdkmessageprocessingstepid,mode,stage,statecode,filteringattributes,description,"
                "_sdkmessageid_value,_sdkmessagefilterid_value",
                "$filter": f"_eventhandler_value eq {endpoint}",
            },
        )
        names = {found: name for name, found in (await self._message_ids()).items()}
        return [
            Step(
                table=await self._table_of(one.get("_sdkmessagefilterid_value")),
                message=names.get(str(one.get("_sdkmessageid_value")), "another message"),
                columns=_names(one.get("filteringattributes")),
                images=tuple(await self._images(one["sdkmessageprocessingstepid"])),
                asynchronous=one.get("mode") == 1,
                enabled=one.get("statecode") == 0,
                post_operation=one.get("stage") == _POST_OPERATION,
                id=UUID(one["sdkmessageprocessingstepid"]),
                made=str(one.get("description") or "").startswith(MADE),
            )
            for one in answer.get("value", ())
        ]

    async def create_endpoint(self, name: str, url: str, *, header: str, secret: str, fingerprint: str) -> UUID:
        """Register a webhook that authenticates by a header."""
        body = {"name": name, "contract": _WEBHOOK, **_endpoint(url, header, secret, fingerprint)}
        return await self._create("serviceendpoints", body)

    async def update_endpoint(self, endpoint: UUID, url: str, *, header: str, secret: str, fingerprint: str) -> None:
        """Give an endpoint another address or secret."""
        body = _endpoint(url, header, secret, fingerprint)
        await self._send("PATCH", f"serviceendpoints({endpoint})", body, headers={"If-Match": "*"})

    async def create_step(self, endpoint: UUID, step: Step) -> None:
        """Register a step, then its images: a step without them is found and completed by the next run."""
        body = {
            "name": f"{step.message} of {step.table} to Energy CMMS",
            "supporteddeployment": 0,
            "rank": 1,
            "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({endpoint})",
            "sdkmessageid@odata.bind": f"/sdkmessages({(await self._message_ids())[step.message]})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({await self._filter(step)})",
            **_step(step),
        }
        step_id = await self._create("sdkmessageprocessingsteps", body)
        await self._write_images(step_id, step)

    async def update_step(self, step: Step) -> None:
        """Make a registered step as given: mode, columns, images, enabled."""
        if step.id is None:
            raise ValueError("a step that is updated has an id")
        for image in await self._image_rows(step.id):
            await self._send("DELETE", f"sdkmessageprocessingstepimages({image['sdkmessageprocessingstepimageid']})")
        await self._write_images(step.id, step)
        body = {**_step(step), "statecode": 0, "statuscode": 1}
        await self._send("PATCH", f"sdkmessageprocessingsteps({step.id})", body, headers={"If-Match": "*"})

    async def delete_step(self, step: UUID) -> None:
        """Delete a step with its images."""
        for image in await self._image_rows(step):
            await self._send("DELETE", f"sdkmessageprocessingstepimages({image['sdkmessageprocessingstepimageid']})")
        await self._send("DELETE", f"sdkmessageprocessingsteps({step})")

    async def delete_endpoint(self, endpoint: UUID) -> None:
        """Delete an endpoint that no step uses."""
        await self._send("DELETE", f"serviceendpoints({endpoint})")

    async def _write_images(self, step: UUID, wanted: Step) -> None:
        for image in wanted.images:
            await self._create(
                "sdkmessageprocessingstepimages",
                {
                    "name": "key",
                    "entityalias": "key",
                    "imagetype": image.kind,
                    # The parameter of Update and Delete that holds the row.
                    "messagepropertyname": "Target",
                    "attributes": ",".join(sorted(image.columns)),
                    "sdkmessageprocessingstepid@odata.bind": f"/sdkmessageprocessingsteps({step})",
                },
            )

    async def _images(self, step: str) -> list[Image]:
        return [Image(int(one["imagetype"]), _names(one.get("attributes"))) for one in await self._image_rows(step)]

    async def _image_rows(self, step: UUID | str) -> list[dict[str, Any]]:
        answer = await self._get(
            "sdkmessageprocessingstepimages",
            {
                "$select": "sdkmessageprocessingstepimageid,imagetype,attributes",
                "$filter": f"_sdkmessageprocessingstepid_value eq {step}",
            },
        )
        return list(answer.get("value", ()))

    async def _message_ids(self) -> dict[str, str]:
        if self._ids is None:
            condition = " or ".join(f"name eq {literal(name)}" for name in _MESSAGES)
            answer = await self._get("sdkmessages", {"$select": "sdkmessageid,name", "$filter": condition})
            self._ids = {str(one["name"]): str(one["sdkmessageid"]) for one in answer.get("value", ())}
        return self._ids

    async def _filter(self, step: Step) -> str:
        message = (await self._message_ids())[step.message]
        answer = await self._get(
            "sdkmessagefilters",
            {
                "$select": "sdkmessagefilterid",
                "$filter": f"primaryobjecttypecode eq {literal(step.table)} and _sdkmessageid_value eq {message}",
            },
        )
        for one in answer.get("value", ()):
            return str(one["sdkmessagefilterid"])
        raise NotReady(f"{step.table} has no message {step.message} that a step could be registered for.")

    async def _table_of(self, filter_id: object) -> str:
        if filter_id is None:
            return "any table"
        answer = await self._get(f"sdkmessagefilters({filter_id})", {"$select": "primaryobjecttypecode"})
        return str(answer.get("primaryobjecttypecode"))

    async def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        return json_of(await self._client.send("GET", path, params=params or None, headers=_CONSISTENT))

    async def _create(self, entity_set: str, body: object) -> UUID:
        response = await self._client.send("POST", entity_set, body=json.dumps(body), headers=self._headers)
        try:
            return UUID(response.headers["OData-EntityId"].rpartition("(")[2].rstrip(")"))
        except (KeyError, ValueError) as error:
            raise Unavailable(f"Dynamics created a row of {entity_set} without saying which.") from error

    async def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> None:
        content = None if body is None else json.dumps(body)
        await self._client.send(
            method, path, body=content, headers={**self._headers, **(headers or {})}, seconds=seconds
        )


def _endpoint(url: str, header: str, secret: str, fingerprint: str) -> dict[str, object]:
    settings = f"<settings><setting name={quoteattr(header)} value={quoteattr(secret)} /></settings>"
    return {
        "url": url,
        "authtype": _HTTP_HEADER,
        "authvalue": settings,
        "description": f"{MADE}{_FINGERPRINT}{fingerprint}",
    }


def _step(step: Step) -> dict[str, object]:
    return {
        "mode": 1,
        "stage": _POST_OPERATION,
        "asyncautodelete": True,
        "filteringattributes": ",".join(sorted(step.columns)) or None,
        "description": MADE,
    }


def _names(text: object) -> frozenset[str]:
    return frozenset(name.strip() for name in str(text).split(",") if name.strip()) if text else frozenset()
