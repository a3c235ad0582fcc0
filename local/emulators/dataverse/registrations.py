"""Which webhooks are registered: read from the rows of service endpoints, steps and images, and written to them."""

from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from local.emulators.dataverse import platform
from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row, frozen
from local.emulators.dataverse.values import Value
from local.emulators.dataverse.webhook import AuthType, Webhook

_TYPES = {
    platform.WEBHOOK_KEY: AuthType.WEBHOOK_KEY,
    platform.HTTP_HEADER: AuthType.HTTP_HEADER,
    platform.HTTP_QUERY_STRING: AuthType.HTTP_QUERY_STRING,
}


class Registrations:
    """The registered webhook steps of one environment, one `Webhook` for each enabled step."""

    def __init__(self, dataverse: Dataverse) -> None:
        self._dataverse = dataverse

    def add(self, webhook: Webhook) -> None:
        """Register a webhook as its rows: an endpoint, and a step with its images for each message."""
        codes = {auth_type: code for code, auth_type in _TYPES.items()}
        endpoint = self._put(
            platform.ENDPOINTS,
            name=webhook.name,
            url=webhook.url,
            contract=platform.WEBHOOK_CONTRACT,
            authtype=codes[webhook.auth_type],
            authvalue=auth_value(webhook.auth_type, webhook.auth),
        )
        for message in sorted(webhook.messages):
            step = self._put(
                platform.STEPS,
                name=f"{webhook.name}: {message} of {webhook.table}",
                mode=0 if webhook.synchronous else 1,
                stage=platform.POST_OPERATION,
                rank=1,
                filteringattributes=",".join(sorted(webhook.filtering_attributes)) or None,
                sdkmessageid=platform.platform_id(platform.MESSAGES, message),
                sdkmessagefilterid=platform.platform_id(platform.FILTERS, message, webhook.table),
                eventhandler=endpoint,
                statecode=0,
                statuscode=1,
            )
            for kind, attributes in (
                (platform.PRE_IMAGE, webhook.pre_image),
                (platform.POST_IMAGE, webhook.post_image),
            ):
                if attributes is not None:
                    self._put(
                        platform.IMAGES,
                        name="image",
                        entityalias=webhook.image_alias,
                        messagepropertyname="Target",
                        imagetype=kind,
                        attributes=",".join(attributes) or None,
                        sdkmessageprocessingstepid=step,
                    )

    def webhooks(self) -> list[Webhook]:
        """Read what is registered and enabled."""
        tables = self._dataverse.tables
        endpoints = {row.id: row.values for row in tables[platform.ENDPOINTS]}
        messages = {row.id: str(row.values["name"]) for row in tables[platform.MESSAGES]}
        filters = {row.id: str(row.values["primaryobjecttypecode"]) for row in tables[platform.FILTERS]}
        images: dict[Value, list[Any]] = {}
        for row in tables[platform.IMAGES]:
            images.setdefault(row.values["sdkmessageprocessingstepid"], []).append(row.values)
        found: list[Webhook] = []
        for row in tables[platform.STEPS]:
            step = row.values
            endpoint = endpoints.get(_id(step["eventhandler"]))
            message = messages.get(_id(step["sdkmessageid"]), "")
            table = filters.get(_id(step["sdkmessagefilterid"]))
            if endpoint is None or table is None or message not in set(Message) or step["statecode"] != 0:
                continue
            auth_type = _TYPES.get(int(str(endpoint["authtype"])), AuthType.HTTP_HEADER)
            auth = read_auth_value(auth_type, str(endpoint["authvalue"] or ""))
            own = images.get(row.id, [])
            found.append(
                Webhook(
                    url=str(endpoint["url"]),
                    table=table,
                    messages=frozenset({Message(message)}),
                    auth_type=auth_type,
                    auth=auth or {},
                    filtering_attributes=frozenset(_names(step["filteringattributes"])),
                    pre_image=_image(own, platform.PRE_IMAGE),
                    post_image=_image(own, platform.POST_IMAGE),
                    name=str(endpoint["name"]),
                    synchronous=step["mode"] == 0,
                    image_alias=next((str(image["entityalias"]) for image in own), "image"),
                    usable=auth is not None,
                )
            )
        return found

    def _put(self, table: str, **values: Value) -> UUID:
        # Past the rules and the change log: this is how the environment was set up before anything happened.
        rows = self._dataverse.tables[table]
        row_id = platform.platform_id(table, str(values["name"]), str(len(rows)))
        complete = dict.fromkeys(rows.table.columns) | values | {rows.table.primary_id: row_id}
        rows.put(Row(row_id, 1, frozen(complete)))
        return row_id


def auth_value(auth_type: AuthType, auth: dict[str, str]) -> str:
    """Write `authvalue`: a bare key, or settings in XML for headers and query parameters."""
    if auth_type is AuthType.WEBHOOK_KEY:
        return next(iter(auth.values()), "")
    settings = ET.Element("settings")
    for name, value in auth.items():
        ET.SubElement(settings, "setting", name=name, value=value)
    return ET.tostring(settings, encoding="unicode")


def read_auth_value(auth_type: AuthType, text: str) -> dict[str, str] | None:
    """Read `authvalue`; None if the service could not use it (0x80050203 in its system jobs)."""
    if auth_type is AuthType.WEBHOOK_KEY:
        return {"code": text}
    try:
        settings = ET.fromstring(text) if text else ET.Element("settings")  # noqa: S314  # who registers is trusted
    except ET.ParseError:
        return None
    pairs = {one.get("name"): one.get("value") for one in settings.findall("setting")}
    if settings.tag != "settings" or any(name is None or value is None for name, value in pairs.items()):
        return None
    return {str(name): str(value) for name, value in pairs.items()}


def _id(value: Value) -> UUID:
    return value if isinstance(value, UUID) else UUID(int=0)


def _names(text: Value) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(text).split(",") if name.strip()) if text else ()


def _image(images: list[Any], kind: int) -> tuple[str, ...] | None:
    for image in images:
        if image["imagetype"] in {kind, platform.BOTH_IMAGES}:
            return _names(image["attributes"])
    return None
