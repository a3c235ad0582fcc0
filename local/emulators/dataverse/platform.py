"""The platform's own tables that provisioning works with: users, service endpoints, messages, steps and images.

Columns: https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/serviceendpoint and
`.../sdkmessageprocessingstep`, `.../sdkmessageprocessingstepimage`, `.../sdkmessagefilter`, `.../systemuser`.
"""

from uuid import UUID, uuid5

from local.emulators.dataverse.schema import Column, ColumnType, Option, Required, Table, columns
from local.emulators.dataverse.tables import state_columns, system_columns

ENDPOINTS = "serviceendpoint"
MESSAGES = "sdkmessage"
FILTERS = "sdkmessagefilter"
STEPS = "sdkmessageprocessingstep"
IMAGES = "sdkmessageprocessingstepimage"
USERS = "systemuser"
REGISTRATION = frozenset({ENDPOINTS, STEPS, IMAGES})

WEBHOOK_CONTRACT = 8
WEBHOOK_KEY, HTTP_HEADER, HTTP_QUERY_STRING = 4, 5, 6
POST_OPERATION = 40
PRE_IMAGE, POST_IMAGE, BOTH_IMAGES = 0, 1, 2

EVENT_MESSAGES = ("Create", "Update", "Delete")
BULK_MESSAGES = ("CreateMultiple", "UpdateMultiple")

_IDS = UUID("51f1a4c8-6f6d-4ad2-8d7e-6a1f4f4f4f10")


def platform_id(*parts: str) -> UUID:
    """The fixed id of a message, filter or user that every environment of ours has."""
    return uuid5(_IDS, "/".join(parts))


def platform_tables() -> tuple[Table, ...]:
    """Make the tables; their rows come from the environment and from registration."""
    return (
        _table(
            USERS,
            "fullname",
            _text("fullname"),
            _text("domainname"),
            Column("applicationid", ColumnType.UNIQUEIDENTIFIER),
            Column("isdisabled", ColumnType.BOOLEAN),
        ),
        _table(MESSAGES, "name", _text("name")),
        _table(
            FILTERS,
            "name",
            _text("name"),
            _text("primaryobjecttypecode"),
            Column("sdkmessageid", ColumnType.LOOKUP, targets={MESSAGES: "sdkmessageid"}),
            Column("iscustomprocessingstepallowed", ColumnType.BOOLEAN),
        ),
        _table(
            ENDPOINTS,
            "name",
            _text("name", 256),
            _text("url", 2048),
            _text("description", 1024),
            _choice("contract", {1: "OneWay", 2: "Queue", 7: "EventHub", WEBHOOK_CONTRACT: "Webhook"}),
            _choice(
                "authtype",
                {WEBHOOK_KEY: "WebhookKey", HTTP_HEADER: "HttpHeader", HTTP_QUERY_STRING: "HttpQueryString"},
            ),
            Column("authvalue", ColumnType.STRING, max_length=2048, readable=False),
        ),
        _table(
            STEPS,
            "name",
            _text("name", 256),
            _text("description", 256),
            _choice("mode", {0: "Synchronous", 1: "Asynchronous"}),
            _choice("stage", {10: "Pre-validation", 20: "Pre-operation", POST_OPERATION: "Post-operation"}),
            Column("rank", ColumnType.INTEGER),
            Column("filteringattributes", ColumnType.MEMO, max_length=100_000),
            Column("asyncautodelete", ColumnType.BOOLEAN),
            _choice("supporteddeployment", {0: "Server Only", 1: "Outlook Client Only", 2: "Both"}),
            Column("sdkmessageid", ColumnType.LOOKUP, targets={MESSAGES: "sdkmessageid"}),
            Column("sdkmessagefilterid", ColumnType.LOOKUP, targets={FILTERS: "sdkmessagefilterid"}),
            Column("eventhandler", ColumnType.LOOKUP, targets={ENDPOINTS: "eventhandler_serviceendpoint"}),
            *state_columns(
                states=((0, "Enabled"), (1, "Disabled")),
                statuses=(Option(1, "Enabled", 0, default=True), Option(2, "Disabled", 1, default=True)),
            ),
        ),
        _table(
            IMAGES,
            "name",
            _text("name", 256),
            _text("entityalias", 256),
            _text("messagepropertyname", 256),
            _choice("imagetype", {PRE_IMAGE: "PreImage", POST_IMAGE: "PostImage", BOTH_IMAGES: "Both"}),
            Column("attributes", ColumnType.MEMO, max_length=100_000),
            Column("sdkmessageprocessingstepid", ColumnType.LOOKUP, targets={STEPS: "sdkmessageprocessingstepid"}),
        ),
    )


def _table(name: str, primary_name: str, *own: Column) -> Table:
    return Table(
        name=name,
        set_name=f"{name}s",
        primary_id=f"{name}id",
        primary_name=primary_name,
        columns=columns(*system_columns(f"{name}id"), *own),
        label=name,
        change_tracking=False,
        bulk_messages=False,
    )


def _text(name: str, length: int = 200) -> Column:
    required = Required.SYSTEM if name == "name" else Required.NONE
    return Column(name, ColumnType.STRING, max_length=length, required=required)


def _choice(name: str, labels: dict[int, str]) -> Column:
    options = tuple(Option(value, label) for value, label in labels.items())
    return Column(name, ColumnType.PICKLIST, options=options)
