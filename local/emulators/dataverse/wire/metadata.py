"""A minimal `EntityDefinitions`: tables, columns and alternate keys. What writes to it is in `provisioning`.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

import re
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid5

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.schema import AlternateKey, Column, ColumnType, Table, Write
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.resource import Resource

PRIVILEGES = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")
_ONE = re.compile(r"(?P<kind>Keys|Attributes)\((?P<key>[^)]*)\)")
_TERM = re.compile(r"\(?(?P<name>\w+) eq (?P<value>'[^']*'|\w[\w-]*)\)?")
_METADATA_IDS = UUID("7c2f6d53-9d35-46d3-9f63-1d6a20f6b8f1")
_TYPE_NAMES = {
    ColumnType.DATE: "DateTimeAttributeMetadata",
    ColumnType.UNIQUEIDENTIFIER: "AttributeMetadata",
}


def answer_metadata(dataverse: Dataverse, request: ODataRequest, resource: Resource) -> ODataResponse:
    """Answer a GET below `EntityDefinitions`."""
    options = dict(parse_qsl(request.query))
    if options.get("$expand", "OptionSet").partition("(")[0] != "OptionSet":
        raise Refusal.NOT_SUPPORTED(what=f"$expand={options['$expand']} of definitions")
    tables = [rows.table for rows in dataverse.tables.values()]
    if resource.key is None:
        return _collection(request, "EntityDefinitions", [_table(one) for one in tables], options)
    found = find_table(dataverse, resource)
    match resource.tail:
        case ():
            payload = {"@odata.context": f"{request.root}/$metadata#EntityDefinitions/$entity"}
            return ODataResponse.json(payload | _selected(_table(found), options))
        case ("Keys",):
            return _collection(
                request, "EntityDefinitions/Keys", [_key(found, one) for one in found.keys.values()], options
            )
        case ("ManyToOneRelationships" | "OneToManyRelationships" | "ManyToManyRelationships" as kind,):
            many_to_one = [one for table in tables for one in _relationships(table)]
            end = {"ManyToOneRelationships": "ReferencingEntity", "OneToManyRelationships": "ReferencedEntity"}.get(
                kind
            )
            shown = [one for one in many_to_one if end is not None and one[end] == found.name]
            return _collection(request, f"EntityDefinitions/{kind}", shown, options)
        case ("Attributes", *cast):
            shown = [_column(found, one) for one in found.columns.values()]
            wanted = [one for one in shown if str(one["@odata.type"]).endswith(cast[0] if cast else "")]
            if "OptionSet" in options.get("$expand", ""):
                wanted = [one | {"OptionSet": _options(found.columns[one["LogicalName"]])} for one in wanted]
            return _collection(request, "EntityDefinitions/Attributes", wanted, options)
        case (segment,) if match := _ONE.fullmatch(segment):
            name = member_name(match["key"])
            if match["kind"] == "Keys":
                one = _key(found, find_key(found, name))
            else:
                one = _column(found, find_column(found, name))
            return ODataResponse.json(_selected(one, options))
        case _:
            raise Refusal.UNKNOWN_SEGMENT(segment="/".join(resource.tail))


def find_table(dataverse: Dataverse, resource: Resource) -> Table:
    """Find the table of a path by logical name or id; DataverseError NOT_FOUND if there is none."""
    name = _name(resource.key, "LogicalName")
    tables = [rows.table for rows in dataverse.tables.values()]
    found = next((one for one in tables if name in {one.name, str(metadata_id(one.name))}), None)
    if found is None:
        raise Refusal.NOT_FOUND(table="EntityMetadata", id=name)
    return found


def find_key(table: Table, name: str) -> AlternateKey:
    """Find a key by logical name or id; DataverseError NOT_FOUND."""
    for key in table.keys.values():
        if name in {key.name.lower(), str(metadata_id(f"{table.name}/{key.name}"))}:
            return key
    raise Refusal.NOT_FOUND(table="EntityKeyMetadata", id=name)


def find_column(table: Table, name: str) -> Column:
    """Find a column by logical name or id; DataverseError NOT_FOUND."""
    for column in table.columns.values():
        if name in {column.name, str(metadata_id(f"{table.name}.{column.name}"))}:
            return column
    raise Refusal.NOT_FOUND(table="AttributeMetadata", id=name)


def member_name(key: str) -> str:
    """Read the key of a segment such as `Keys(LogicalName='cmms_assetkey')`: a name or an id, in lower case."""
    return key.removeprefix("LogicalName=").strip("'").lower()


def who_am_i(dataverse: Dataverse, request: ODataRequest) -> ODataResponse:
    """Answer the function `WhoAmI`."""
    organization = dataverse.organization
    return ODataResponse.json(
        {
            "@odata.context": f"{request.root}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": str(organization.business_unit_id),
            "UserId": str(request.caller.user.id),
            "OrganizationId": str(organization.id),
        }
    )


def service_document(dataverse: Dataverse, request: ODataRequest) -> ODataResponse:
    """Answer the service root: the entity sets."""
    names = [rows.table.set_name for rows in dataverse.tables.values()]
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
    return ODataResponse.json({"@odata.context": f"{request.root}/$metadata", "value": sets})


def _table(table: Table) -> dict[str, Any]:
    return {
        "MetadataId": str(metadata_id(table.name)),
        "LogicalName": table.name,
        "SchemaName": table.name,
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "ObjectTypeCode": table.type_code,
        "DisplayName": _label(table.label),
        "ChangeTrackingEnabled": table.change_tracking,
        "IsOptimisticConcurrencyEnabled": table.optimistic_concurrency,
        "IsPrivate": False,
        "Privileges": [
            {"Name": name, "PrivilegeType": kind, "PrivilegeId": str(privilege_id(name))}
            for kind in PRIVILEGES
            for name in (privilege_name(kind, table),)
        ],
    }


def privilege_name(kind: str, table: Table) -> str:
    """Name a privilege, as in `prvCreatesalesorder`."""
    return f"prv{kind}{table.name}"


def privilege_id(name: str) -> UUID:
    """The id of a privilege."""
    return metadata_id(f"privilege/{name}")


def _options(column: Column) -> dict[str, Any]:
    return {
        "Options": [
            {"Value": one.value, "State": one.state, "Label": _label(one.label)}
            if one.state is not None
            else {"Value": one.value, "Label": _label(one.label)}
            for one in column.options
        ]
    }


def _column(table: Table, column: Column) -> dict[str, Any]:
    kind = _TYPE_NAMES.get(column.type, f"{column.type}AttributeMetadata")
    shown: dict[str, Any] = {
        "@odata.type": f"#Microsoft.Dynamics.CRM.{kind}",
        "MetadataId": str(metadata_id(f"{table.name}.{column.name}")),
        "LogicalName": column.name,
        "SchemaName": column.name,
        "AttributeType": _kind(column),
        "DisplayName": _label(column.label),
        "IsValidForCreate": column.on_create is Write.ALLOWED,
        "IsValidForUpdate": column.on_update is Write.ALLOWED,
        "IsValidForRead": column.readable,
        "IsSecured": column.permissions is not None,
        "Description": _label(column.description),
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "RequiredLevel": {"Value": column.required.value},
    }
    if column.type in {ColumnType.STRING, ColumnType.MEMO}:
        shown["MaxLength"] = column.max_length
    if column.type in {ColumnType.MONEY, ColumnType.DECIMAL}:
        shown["Precision"] = column.precision
    if column.low is not None and column.high is not None:
        shown |= {"MinValue": column.low, "MaxValue": column.high}
    if column.type is ColumnType.LOOKUP:
        shown["Targets"] = list(column.targets)
    if column.type is ColumnType.MONEY:
        shown["PrecisionSource"] = 0
    if column.type in {ColumnType.DATE, ColumnType.DATETIME}:
        date_only = column.type is ColumnType.DATE
        shown["Format"] = "DateOnly" if date_only else "DateAndTime"
        shown["DateTimeBehavior"] = {"Value": "DateOnly" if date_only else "UserLocal"}
    return shown


def _relationships(table: Table) -> list[dict[str, Any]]:
    return [
        {
            "SchemaName": f"{target}_{table.name}_{column.name}",
            "ReferencingEntity": table.name,
            "ReferencingAttribute": column.name,
            "ReferencingEntityNavigationPropertyName": navigation,
            "ReferencedEntity": target,
            "ReferencedAttribute": f"{target}id",
            "RelationshipType": "OneToManyRelationship",
        }
        for column in table.columns.values()
        for target, navigation in column.targets.items()
        if navigation
    ]


def _kind(column: Column) -> str:
    if column.type is ColumnType.DATE:
        return "DateTime"
    if column.type is ColumnType.LOOKUP and {"account", "contact"} <= column.targets.keys():
        return "Customer"
    return column.type.value


def _key(table: Table, key: AlternateKey) -> dict[str, Any]:
    return {
        "MetadataId": str(metadata_id(f"{table.name}/{key.name}")),
        "LogicalName": key.name.lower(),
        "SchemaName": key.name,
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status.value,
        "DisplayName": _label(key.label),
    }


def _collection(
    request: ODataRequest, context: str, found: list[dict[str, Any]], options: dict[str, str]
) -> ODataResponse:
    if condition := options.get("$filter"):
        found = [one for one in found if _holds(condition, one)]
    payload = {
        "@odata.context": f"{request.root}/$metadata#{context}",
        "value": [_selected(one, options) for one in found],
    }
    return ODataResponse.json(payload)


def _holds(condition: str, shown: dict[str, Any]) -> bool:
    """Metadata is filtered by `eq`, joined by `and` or by `or`; DataverseError for anything else."""
    results = []
    words = re.split(r"\s+(and|or)\s+", condition)
    for term in words[::2]:
        match = _TERM.fullmatch(term)
        if match is None:
            raise Refusal.NOT_SUPPORTED(what=f"A $filter of definitions with '{term}'")
        if match["name"] not in shown:
            raise Refusal.SYNTAX(detail=f"Could not find a property named '{match['name']}'.")
        results.append(str(shown[match["name"]]).lower() == match["value"].strip("'").lower())
    if {"and", "or"} <= set(words[1::2]):
        raise Refusal.NOT_SUPPORTED(what="A $filter of definitions that mixes 'and' with 'or'")
    return any(results) if "or" in words[1::2] else all(results)


def _selected(shown: dict[str, Any], options: dict[str, str]) -> dict[str, Any]:
    if "$select" not in options:
        return shown
    wanted = {name.strip() for name in options["$select"].split(",")} | {"MetadataId", "@odata.type", "OptionSet"}
    return {name: value for name, value in shown.items() if name in wanted}


def _name(key: Any, expected: str) -> str:
    literal = key.get(expected, key.get("", ""))
    return str(literal).strip("'").lower()


def _label(text: str) -> dict[str, Any]:
    if not text:
        return {"UserLocalizedLabel": None, "LocalizedLabels": []}
    label = {"Label": text, "LanguageCode": 1033}
    return {"UserLocalizedLabel": label, "LocalizedLabels": [label]}


def metadata_id(name: str) -> UUID:
    """The id of a definition: of a table by its name, of a column as `table.column`, of a key as `table/key`."""
    return uuid5(_METADATA_IDS, name)
