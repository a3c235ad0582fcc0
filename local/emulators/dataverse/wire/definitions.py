"""How tables, columns, keys and relationships are shown in `EntityDefinitions`."""

from typing import Any
from uuid import UUID, uuid5

from local.emulators.dataverse.schema import AlternateKey, Column, ColumnType, Table, Write

PRIVILEGES = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")
_METADATA_IDS = UUID("7c2f6d53-9d35-46d3-9f63-1d6a20f6b8f1")
_TYPE_NAMES = {
    ColumnType.DATE: "DateTimeAttributeMetadata",
    ColumnType.UNIQUEIDENTIFIER: "AttributeMetadata",
}


def table_definition(table: Table) -> dict[str, Any]:
    """Show a table."""
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


def options_definition(column: Column) -> dict[str, Any]:
    """Show the options of a choice."""
    return {
        "Options": [
            {"Value": one.value, "State": one.state, "Label": _label(one.label)}
            if one.state is not None
            else {"Value": one.value, "Label": _label(one.label)}
            for one in column.options
        ]
    }


def column_definition(table: Table, column: Column) -> dict[str, Any]:
    """Show a column."""
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


def relationship_definitions(table: Table) -> list[dict[str, Any]]:
    """Show the relationships in which a table refers to others."""
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


def key_definition(table: Table, key: AlternateKey) -> dict[str, Any]:
    """Show an alternate key."""
    return {
        "MetadataId": str(metadata_id(f"{table.name}/{key.name}")),
        "LogicalName": key.name.lower(),
        "SchemaName": key.name,
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status.value,
        "DisplayName": _label(key.label),
    }


def _label(text: str) -> dict[str, Any]:
    if not text:
        return {"UserLocalizedLabel": None, "LocalizedLabels": []}
    label = {"Label": text, "LanguageCode": 1033}
    return {"UserLocalizedLabel": label, "LocalizedLabels": [label]}


def metadata_id(name: str) -> UUID:
    """The id of a definition: of a table by its name, of a column as `table.column`, of a key as `table/key`."""
    return uuid5(_METADATA_IDS, name)
