"""Reads of `EntityDefinitions`: tables, columns and alternate keys. What writes to it is in `provisioning`.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.schema import AlternateKey, Column, Table
from local.emulators.dataverse.wire.definitions import (
    column_definition,
    key_definition,
    metadata_id,
    options_definition,
    relationship_definitions,
    table_definition,
)
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.resource import Resource

_ONE = re.compile(r"(?P<kind>Keys|Attributes)\((?P<key>[^)]*)\)")
_TERM = re.compile(r"\(?(?P<name>\w+) eq (?P<value>'[^']*'|\w[\w-]*)\)?")


def answer_metadata(dataverse: Dataverse, request: ODataRequest, resource: Resource) -> ODataResponse:
    """Answer a GET below `EntityDefinitions`."""
    options = dict(parse_qsl(request.query))
    if options.get("$expand", "OptionSet").partition("(")[0] != "OptionSet":
        raise Refusal.NOT_SUPPORTED(what=f"$expand={options['$expand']} of definitions")
    tables = [rows.table for rows in dataverse.tables.values()]
    if resource.key is None:
        return _collection(request, "EntityDefinitions", [table_definition(one) for one in tables], options)
    found = find_table(dataverse, resource)
    match resource.tail:
        case ():
            payload = {"@odata.context": f"{request.root}/$metadata#EntityDefinitions/$entity"}
            return ODataResponse.json(payload | _selected(table_definition(found), options))
        case ("Keys",):
            return _collection(
                request, "EntityDefinitions/Keys", [key_definition(found, one) for one in found.keys.values()], options
            )
        case ("ManyToOneRelationships" | "OneToManyRelationships" | "ManyToManyRelationships" as kind,):
            many_to_one = [one for table in tables for one in relationship_definitions(table)]
            end = {"ManyToOneRelationships": "ReferencingEntity", "OneToManyRelationships": "ReferencedEntity"}.get(
                kind
            )
            shown = [one for one in many_to_one if end is not None and one[end] == found.name]
            return _collection(request, f"EntityDefinitions/{kind}", shown, options)
        case ("Attributes", *cast):
            shown = [column_definition(found, one) for one in found.columns.values()]
            wanted = [one for one in shown if str(one["@odata.type"]).endswith(cast[0] if cast else "")]
            if "OptionSet" in options.get("$expand", ""):
                wanted = [one | {"OptionSet": options_definition(found.columns[one["LogicalName"]])} for one in wanted]
            return _collection(request, "EntityDefinitions/Attributes", wanted, options)
        case (segment,) if match := _ONE.fullmatch(segment):
            name = member_name(match["key"])
            if match["kind"] == "Keys":
                one = key_definition(found, find_key(found, name))
            else:
                one = column_definition(found, find_column(found, name))
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
