"""Definitions, users and webhook registrations over the Web API, for check and provision.

Requests as documented (https://learn.microsoft.com/power-apps/developer/data-platform/...):
- columns: webapi/create-update-column-definitions-using-web-api
- keys: define-alternate-keys-entity, and webapi/reference/reactivateentitykey
- change tracking: webapi/create-update-entity-definitions-using-web-api (PUT of the whole definition, then publish)
- webhooks: register-web-hook, reference/entities/serviceendpoint
- privileges: webapi/reference/retrieveuserprivileges
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from shared.adapters.dataverse.admin.webhooks import MADE, Registration
from shared.adapters.dataverse.answers import json_of
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.query import definition, literal
from shared.adapters.dataverse.security import column_access
from shared.domain.schema.mapping import EntityMapping
from shared.errors import SyncError, Unavailable
from shared.flows.ports.platform import (
    ChoiceOption,
    ColumnAccess,
    ColumnInfo,
    KeyInfo,
    Relationship,
    TableInfo,
    User,
    WhoAmI,
)

_NOT_FOUND: Final = 404
# Creating a key or a column takes the service up to minutes; it refuses a second one meanwhile.
_SLOW: Final = 300.0
_LANGUAGE: Final = 1033
_INT32: Final = 2**31
_CASTS: Final = ("StatusAttributeMetadata", "StateAttributeMetadata", "PicklistAttributeMetadata")
_FILTER_COLUMNS: Final = 20


class DataversePlatform(Registration):
    """The administrator's side of one organization. `solution` is the unique name that new components go into."""

    def __init__(self, client: DataverseClient, solution: str | None = None) -> None:
        super().__init__(client, {"MSCRM.SolutionUniqueName": solution} if solution else {})

    async def who_am_i(self) -> WhoAmI:
        """The identity that is signed in, and its organization."""
        answer = json_of(await self._client.send("GET", "WhoAmI"))
        try:
            return WhoAmI(UUID(answer["UserId"]), UUID(answer["OrganizationId"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("Dynamics' answer to WhoAmI names no user: a proxy may stand between.") from error

    async def table(self, name: str, columns: frozenset[str]) -> TableInfo | None:
        """A table with those of the columns that exist; None if there is no such table."""
        path = definition(name)
        select = "LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled"
        try:
            shown = await self._get(path, {"$select": f"{select},Privileges"})
        except SyncError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return TableInfo(
            name=name,
            set_name=str(shown.get("EntitySetName")),
            id_column=str(shown.get("PrimaryIdAttribute")),
            change_tracking=bool(shown.get("ChangeTrackingEnabled")),
            optimistic_concurrency=bool(shown.get("IsOptimisticConcurrencyEnabled")),
            columns=await self._columns(path, sorted(columns)),
            keys=await self.keys(name),
            privileges={one["PrivilegeType"]: one["Name"] for one in shown.get("Privileges") or ()},
            options=await self._options(path, columns),
            messages=await self._messages(name),
            relationships=await self._relationships(path),
        )

    async def keys(self, table: str) -> tuple[KeyInfo, ...]:
        """The alternate keys of a table."""
        answer = await self._get(f"{definition(table)}/Keys", {})
        return tuple(_key(one) for one in answer.get("value", ()))

    async def _columns(self, path: str, names: list[str]) -> dict[str, ColumnInfo]:
        found: dict[str, ColumnInfo] = {}
        for start in range(0, len(names), _FILTER_COLUMNS):
            terms = (f"LogicalName eq {literal(name)}" for name in names[start : start + _FILTER_COLUMNS])
            answer = await self._get(f"{path}/Attributes", {"$filter": " or ".join(terms)})
            found.update((one["LogicalName"], _column(one)) for one in answer.get("value", ()))
        return found

    async def _options(self, path: str, columns: frozenset[str]) -> dict[str, tuple[ChoiceOption, ...]]:
        found: dict[str, tuple[ChoiceOption, ...]] = {}
        for cast in _CASTS:
            answer = await self._get(
                f"{path}/Attributes/Microsoft.Dynamics.CRM.{cast}",
                {"$select": "LogicalName", "$expand": "OptionSet($select=Options)"},
            )
            for one in answer.get("value", ()):
                if one["LogicalName"] in columns and one.get("OptionSet"):
                    found[one["LogicalName"]] = tuple(
                        ChoiceOption(option["Value"], option.get("State")) for option in one["OptionSet"]["Options"]
                    )
        return found

    async def _relationships(self, path: str) -> tuple[Relationship, ...]:
        select = "ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"
        answer = await self._get(f"{path}/ManyToOneRelationships", {"$select": select})
        return tuple(
            Relationship(
                str(one.get("ReferencingAttribute")),
                str(one.get("ReferencedEntity")),
                str(one.get("ReferencingEntityNavigationPropertyName")),
            )
            for one in answer.get("value", ())
        )

    async def _messages(self, table: str) -> frozenset[str]:
        names = {found: name for name, found in (await self._message_ids()).items()}
        answer = await self._get(
            "sdkmessagefilters",
            {"$select": "_sdkmessageid_value", "$filter": f"primaryobjecttypecode eq {literal(table)}"},
        )
        return frozenset(
            names[found] for one in answer.get("value", ()) if (found := str(one["_sdkmessageid_value"])) in names
        )

    async def user(self, *, user_id: UUID | None = None, application_id: str | None = None) -> User | None:
        """A user by id or by the client id of its identity."""
        condition = f"systemuserid eq {user_id}" if user_id else f"applicationid eq {application_id}"
        answer = await self._get(
            "systemusers",
            {"$select": "systemuserid,fullname,applicationid,isdisabled", "$filter": condition},
        )
        for one in answer.get("value", ()):
            return User(
                UUID(one["systemuserid"]), str(one["fullname"]), one.get("applicationid"), bool(one.get("isdisabled"))
            )
        return None

    async def privileges(self, user: UUID) -> dict[str, str]:
        """The privileges that a user holds through roles and teams."""
        answer = await self._get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()", {})
        return {
            str(one["PrivilegeName"]).lower(): str(one["Depth"])
            for one in answer.get("RolePrivileges", ())
            if one.get("PrivilegeName")
        }

    async def column_access(self, user: UUID) -> dict[UUID, ColumnAccess]:
        """What a user may do with secured columns, by the columns' ids."""
        return await column_access(self._client, user)

    async def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[list[str]]:
        """The keys of rows that were changed since an instant, page by page."""
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        params: dict[str, str] = {"$select": entity.key.column, "$filter": f"modifiedon ge {moment}"}
        path: str | None = entity.set
        while path is not None:
            answer = await self._get(path, params)
            yield [str(row[entity.key.column]) for row in answer.get("value", ()) if row.get(entity.key.column)]
            path, params = answer.get("@odata.nextLink"), {}

    async def create_column(
        self, table: str, column: str, kind: str, *, length: int | None, scale: int | None, label: str
    ) -> None:
        """Create a custom column: String, Memo, Money, Decimal, DateTime, DateOnly, Boolean or Integer."""
        body: dict[str, Any] = {
            "@odata.type": f"Microsoft.Dynamics.CRM.{'DateTime' if kind == 'DateOnly' else kind}AttributeMetadata",
            "SchemaName": column,
            "DisplayName": _label(label),
            "Description": _label(MADE),
            "RequiredLevel": {
                "Value": "None",
                "CanBeChanged": True,
                "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
            },
        }
        if kind in {"String", "Memo"}:
            body |= {"MaxLength": length or 100}
        if kind == "String":
            body |= {"FormatName": {"Value": "Text"}}
        if kind in {"Money", "Decimal"}:
            body |= {"Precision": scale if scale is not None else 2}
        if kind == "Money":
            body |= {"PrecisionSource": 0}
        if kind == "Integer":
            body |= {"Format": "None", "MinValue": -_INT32, "MaxValue": _INT32 - 1}
        if kind == "Boolean":
            options = {"TrueOption": (1, "Yes"), "FalseOption": (0, "No")}
            body["OptionSet"] = {
                "@odata.type": "Microsoft.Dynamics.CRM.BooleanOptionSetMetadata",
                "OptionSetType": "Boolean",
                **{name: {"Value": value, "Label": _label(text)} for name, (value, text) in options.items()},
            }
        if kind in {"DateTime", "DateOnly"}:
            body |= {
                "Format": "DateOnly" if kind == "DateOnly" else "DateAndTime",
                "DateTimeBehavior": {"Value": "DateOnly" if kind == "DateOnly" else "UserLocal"},
            }
        await self._send("POST", f"{definition(table)}/Attributes", body, seconds=_SLOW)

    async def create_key(self, table: str, name: str, columns: tuple[str, ...]) -> None:
        """Create an alternate key; a job of the service then builds its index."""
        body = {
            "SchemaName": name,
            "DisplayName": _label(f"{name} ({MADE})"),
            "KeyAttributes": list(columns),
        }
        await self._send("POST", f"{definition(table)}/Keys", body, seconds=_SLOW)

    async def reactivate_key(self, table: str, name: str) -> None:
        """Build the index of a failed key again."""
        body = {"EntityLogicalName": table, "EntityKeyLogicalName": name.lower()}
        await self._send("POST", "ReactivateEntityKey", body, seconds=_SLOW)

    async def enable_change_tracking(self, table: str) -> None:
        """Put the whole definition back with the flag set, as there is no PATCH, and publish the table."""
        shown = await self._get(definition(table), {})
        kept = {name: value for name, value in shown.items() if not name.startswith("@odata.")}
        await self._send(
            "PUT",
            definition(table),
            {**kept, "ChangeTrackingEnabled": True},
            headers={"MSCRM.MergeLabels": "true"},
            seconds=_SLOW,
        )
        entities = f"<importexportxml><entities><entity>{table}</entity></entities></importexportxml>"
        await self._send("POST", "PublishXml", {"ParameterXml": entities}, seconds=_SLOW)

    async def delete_column(self, table: str, column: str) -> None:
        """Delete a column with what it holds."""
        await self._send("DELETE", f"{definition(table)}/Attributes(LogicalName='{column}')", seconds=_SLOW)

    async def delete_key(self, table: str, name: str) -> None:
        """Delete an alternate key."""
        await self._send("DELETE", f"{definition(table)}/Keys(LogicalName='{name.lower()}')", seconds=_SLOW)


def _label(text: str) -> dict[str, object]:
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.Label",
        "LocalizedLabels": [
            {"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": text, "LanguageCode": _LANGUAGE}
        ],
    }


def _text(label: object) -> str:
    shown = label.get("UserLocalizedLabel") if isinstance(label, dict) else None
    return str(shown.get("Label") or "") if isinstance(shown, dict) else ""


def _key(one: Mapping[str, Any]) -> KeyInfo:
    return KeyInfo(
        str(one["SchemaName"]),
        tuple(one["KeyAttributes"]),
        str(one.get("EntityKeyIndexStatus")),
        made=MADE in _text(one.get("DisplayName")),
    )


def _column(one: Mapping[str, Any]) -> ColumnInfo:
    behavior = one.get("DateTimeBehavior")
    return ColumnInfo(
        name=str(one["LogicalName"]),
        kind=str(one.get("AttributeType")),
        create=bool(one.get("IsValidForCreate")),
        update=bool(one.get("IsValidForUpdate")),
        max_length=one.get("MaxLength"),
        precision=one.get("Precision"),
        behavior=behavior.get("Value") if isinstance(behavior, dict) else None,
        made=MADE in _text(one.get("Description")),
        secured=bool(one.get("IsSecured")),
        id=UUID(found) if isinstance(found := one.get("MetadataId"), str) else None,
    )
