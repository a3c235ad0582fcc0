"""The tables that assets and orders refer to, and Field Service's purchase order, as far as an integration sees them.

Columns, required ones and navigation properties as in
https://learn.microsoft.com/dynamics365/developer/reference/entities/msdyn_purchaseorder, `.../account`, `.../contact`,
`.../product`, `.../pricelevel`, `.../msdyn_functionallocation` and
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/transactioncurrency.
"""

from local.emulators.dataverse.schema import AlternateKey, Column, ColumnType, Option, Required, Table, Write, columns
from local.emulators.dataverse.tables import money, stamp, state_columns, system_columns

_ACTIVE = ((0, "Active"), (1, "Inactive"))
_REASONS = (Option(1, "Active", 0, default=True), Option(2, "Inactive", 1, default=True))


def reference_tables() -> tuple[Table, ...]:
    """Make account, contact, product, price list, currency, functional location and purchase order."""
    return (
        _table("account", "accounts", "name", _text("name", 160), _text("accountnumber", 20)),
        _table("contact", "contacts", "fullname", _text("fullname", 160), _text("employeeid", 50)),
        _table("product", "products", "name", _text("name", 100), _text("productnumber", 100, required=True)),
        _table("pricelevel", "pricelevels", "name", _text("name", 100, required=True)),
        _table(
            "transactioncurrency",
            "transactioncurrencies",
            "currencyname",
            _text("currencyname", 100, required=True),
            _text("isocurrencycode", 5, required=True),
        ),
        _table(
            "msdyn_functionallocation",
            "msdyn_functionallocations",
            "msdyn_name",
            _text("msdyn_name", 100, required=True),
            _text("cmms_code", 50),
        ),
        purchase_order(),
    )


def purchase_order() -> Table:
    """Make `msdyn_purchaseorder`: its vendor, date, status and currency are required by the form, not by the API."""
    return Table(
        name="msdyn_purchaseorder",
        set_name="msdyn_purchaseorders",
        primary_id="msdyn_purchaseorderid",
        primary_name="msdyn_name",
        label="Purchase Order",
        type_code=10710,
        columns=columns(
            *system_columns("msdyn_purchaseorderid"),
            _text("msdyn_name", 100, required=True),
            _lookup("msdyn_vendor", {"account": "msdyn_vendor"}, required=True),
            Column(
                "msdyn_purchaseorderdate", ColumnType.DATETIME, "Purchase Order Date", required=Required.APPLICATION
            ),
            Column("msdyn_dateexpected", ColumnType.DATETIME, "Date Expected"),
            _choice(
                "msdyn_systemstatus",
                {
                    690970000: "Draft",
                    690970001: "Submitted",
                    690970002: "Canceled",
                    690970003: "Products Received",
                    690970004: "Billed",
                },
            ),
            _choice("msdyn_approvalstatus", {690970000: "Approved", 690970001: "Rejected"}),
            Column("msdyn_vendornote", ColumnType.MEMO, "Vendor Note", max_length=5000),
            money("msdyn_totalamount", "Total Amount"),
            _base("msdyn_totalamount_base", "Total Amount (Base)"),
            money("msdyn_amountbilled", "Amount Billed"),
            _base("msdyn_amountbilled_base", "Amount Billed (Base)"),
            _lookup("transactioncurrencyid", {"transactioncurrency": "transactioncurrencyid"}, required=True),
            stamp(),
            *state_columns(_ACTIVE, _REASONS),
        ),
        keys={"cmms_OrderKey": AlternateKey("cmms_OrderKey", ("msdyn_name",), label="CMMS order key")},
    )


def _table(name: str, set_name: str, primary_name: str, *own: Column) -> Table:
    return Table(
        name=name,
        set_name=set_name,
        primary_id=f"{name}id",
        primary_name=primary_name,
        label=name,
        columns=columns(*system_columns(f"{name}id"), *own, *state_columns(_ACTIVE, _REASONS)),
    )


def _text(name: str, length: int, *, required: bool = False) -> Column:
    level = Required.SYSTEM if required else Required.NONE
    return Column(name, ColumnType.STRING, name, max_length=length, required=level)


def _lookup(name: str, targets: dict[str, str], *, required: bool = False) -> Column:
    level = Required.APPLICATION if required else Required.NONE
    return Column(name, ColumnType.LOOKUP, name, targets=targets, required=level)


def _choice(name: str, labels: dict[int, str]) -> Column:
    options = tuple(Option(value, label) for value, label in labels.items())
    return Column(name, ColumnType.PICKLIST, name, options=options, required=Required.APPLICATION)


def _base(name: str, label: str) -> Column:
    column = money(name, label)
    column.on_create = column.on_update = Write.IGNORED
    return column
