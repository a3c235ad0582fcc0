"""The tables of the field mapping, as a customised organisation has them.

Sources: https://learn.microsoft.com/dynamics365/developer/reference/entities/salesorder and
`.../msdyn_customerasset`. Customisations of the emulated organisation: the five `msdyn_*` asset columns, a
writable `totalamount`, both alternate keys, and a text column on each table for the id of an integration's last write.
"""

from decimal import Decimal

from local.emulators.dataverse.schema import AlternateKey, Column, ColumnType, Option, Required, Table, Write, columns

_MONEY_LIMIT = Decimal(922337203685477)


def customer_asset() -> Table:
    """Make `msdyn_customerasset`: two states, unique by `msdyn_assetnumber`."""
    return Table(
        name="msdyn_customerasset",
        set_name="msdyn_customerassets",
        primary_id="msdyn_customerassetid",
        primary_name="msdyn_name",
        label="Customer Asset",
        type_code=10700,
        columns=columns(
            *system_columns("msdyn_customerassetid"),
            Column("msdyn_name", ColumnType.STRING, "Name", max_length=100, required=Required.SYSTEM),
            Column("msdyn_assetnumber", ColumnType.STRING, "Asset Number", max_length=100),
            Column("msdyn_serialid", ColumnType.STRING, "Serial ID", max_length=100),
            Column("msdyn_assettag", ColumnType.STRING, "Asset Tag", max_length=100),
            stamp(),
            money("msdyn_acquisitioncost", "Acquisition Cost"),
            money("msdyn_currentbookvalue", "Current Book Value"),
            Column("msdyn_acquisitiondate", ColumnType.DATE, "Acquisition Date"),
            Column("msdyn_account", ColumnType.LOOKUP, "Account", targets={"account": "msdyn_account"}),
            Column("msdyn_product", ColumnType.LOOKUP, "Product", targets={"product": "msdyn_product"}),
            Column(
                "msdyn_parentasset",
                ColumnType.LOOKUP,
                "Parent Asset",
                targets={"msdyn_customerasset": "msdyn_parentasset_msdyn_customerasset"},
            ),
            Column(
                "msdyn_masterasset",
                ColumnType.LOOKUP,
                "Top-Level Asset",
                targets={"msdyn_customerasset": "msdyn_masterasset_msdyn_customerasset"},
            ),
            Column(
                "msdyn_functionallocation",
                ColumnType.LOOKUP,
                "Functional Location",
                targets={"msdyn_functionallocation": "msdyn_FunctionalLocation"},
            ),
            *state_columns(
                states=((0, "Active"), (1, "Inactive")),
                statuses=(Option(1, "Active", 0, default=True), Option(2, "Inactive", 1, default=True)),
            ),
        ),
        keys={"cmms_AssetKey": AlternateKey("cmms_AssetKey", ("msdyn_assetnumber",), label="CMMS asset key")},
    )


def sales_order(*, total_on_create: Write = Write.ALLOWED, state_on_create: bool = True) -> Table:
    """Make `salesorder`: editable only while Active, unique by `name`.

    On the standard table `totalamount` is calculated: `Write.REFUSED` or `Write.IGNORED` models it.
    """
    total = money("totalamount", "Total Amount")
    total.on_create = total_on_create
    customer = {"account": "customerid_account", "contact": "customerid_contact"}
    return Table(
        name="salesorder",
        set_name="salesorders",
        primary_id="salesorderid",
        primary_name="name",
        label="Order",
        type_code=1088,
        closed_read_only=True,
        state_on_create=state_on_create,
        columns=columns(
            *system_columns("salesorderid"),
            Column("name", ColumnType.STRING, "Name", max_length=300, required=Required.SYSTEM),
            Column("ordernumber", ColumnType.STRING, "Order ID", max_length=100, on_update=Write.IGNORED),
            Column("description", ColumnType.MEMO, "Description", max_length=2000),
            stamp(),
            total,
            Column(
                "customerid",
                ColumnType.LOOKUP,
                "Potential Customer",
                targets=customer,
                required=Required.APPLICATION,
            ),
            Column(
                "pricelevelid",
                ColumnType.LOOKUP,
                "Price List",
                targets={"pricelevel": "pricelevelid"},
                required=Required.APPLICATION,
            ),
            Column(
                "transactioncurrencyid",
                ColumnType.LOOKUP,
                "Currency",
                targets={"transactioncurrency": "transactioncurrencyid"},
                required=Required.APPLICATION,
            ),
            *state_columns(
                states=((0, "Active"), (1, "Submitted"), (2, "Canceled"), (3, "Fulfilled"), (4, "Invoiced")),
                statuses=(
                    Option(1, "New", 0, default=True),
                    Option(2, "Pending", 0),
                    Option(690970000, "On hold", 0),
                    Option(3, "In Progress", 1, default=True),
                    Option(4, "No Money", 2, default=True),
                    Option(100001, "Complete", 3, default=True),
                    Option(100002, "Partial", 3),
                    Option(100003, "Invoiced", 4, default=True),
                ),
            ),
        ),
        keys={"cmms_OrderKey": AlternateKey("cmms_OrderKey", ("name",), label="CMMS order key")},
    )


def stamp() -> Column:
    """Make the column for the id of an integration's last write."""
    return Column("cmms_operation", ColumnType.STRING, "Energy CMMS operation", max_length=100)


def money(name: str, label: str) -> Column:
    """Make an amount of two decimals."""
    return Column(name, ColumnType.MONEY, label, precision=2, low=-_MONEY_LIMIT, high=_MONEY_LIMIT)


def system_columns(primary_id: str) -> tuple[Column, ...]:
    """Make the columns that every table has."""
    users = {"systemuser": ""}
    return (
        Column(primary_id, ColumnType.UNIQUEIDENTIFIER, required=Required.SYSTEM, on_update=Write.IGNORED),
        Column("createdon", ColumnType.DATETIME, "Created On", on_create=Write.IGNORED, on_update=Write.IGNORED),
        Column("modifiedon", ColumnType.DATETIME, "Modified On", on_create=Write.IGNORED, on_update=Write.IGNORED),
        Column(
            "createdby",
            ColumnType.LOOKUP,
            "Created By",
            targets=dict(users),
            on_create=Write.IGNORED,
            on_update=Write.IGNORED,
        ),
        Column(
            "modifiedby",
            ColumnType.LOOKUP,
            "Modified By",
            targets=dict(users),
            on_create=Write.IGNORED,
            on_update=Write.IGNORED,
        ),
        Column("ownerid", ColumnType.LOOKUP, "Owner", targets={"systemuser": "ownerid"}),
        Column("overriddencreatedon", ColumnType.DATETIME, "Record Created On", on_update=Write.IGNORED),
        Column(
            "versionnumber",
            ColumnType.BIGINT,
            "Version Number",
            on_create=Write.IGNORED,
            on_update=Write.IGNORED,
        ),
    )


def state_columns(states: tuple[tuple[int, str], ...], statuses: tuple[Option, ...]) -> tuple[Column, Column]:
    """Make `statecode` and `statuscode`."""
    return (
        Column("statecode", ColumnType.STATE, "Status", options=tuple(Option(*one) for one in states)),
        Column("statuscode", ColumnType.STATUS, "Status Reason", options=statuses),
    )
