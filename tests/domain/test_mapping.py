"""The mapping file: the customer's tables as they stand, and what a wrong file is told."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.schema.mapping import parse_mapping
from shared.errors import ConfigurationError, KeyNotUsable
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping
from tests.fakes import document_mapping

MAPPING = document_mapping()
ASSET, ORDER = MAPPING.entities["asset"], MAPPING.entities["order"]
TEXT = DOCUMENT_MAPPING.read_text(encoding="utf-8")

# The customer's two tables: CMMS name, Dynamics column, type, direction, whose value wins a conflict.
ASSET_TABLE = {
    "nombre": ("msdyn_name", "string", "both", "cmms"),
    "numero_de_serie": ("msdyn_serialid", "string", "both", "cmms"),
    "valor_adquisicion": ("msdyn_acquisitioncost", "decimal", "both", "cmms"),
    "valor_libros": ("msdyn_currentbookvalue", "decimal", "both", "dynamics"),
    "fecha_adquisicion": ("msdyn_acquisitiondate", "date", "both", "cmms"),
}
ORDER_TABLE = {
    "justificacion": ("description", "string", "to_dynamics", "cmms"),
    "total": ("totalamount", "decimal", "to_dynamics", "cmms"),
    "fecha_creacion": ("createdon", "datetime", "to_dynamics", "cmms"),
    "estado": ("statuscode", "choice", "both", "dynamics"),
}


@pytest.mark.parametrize(("entity", "table"), [(ASSET, ASSET_TABLE), (ORDER, ORDER_TABLE)], ids=["asset", "order"])
def test_the_document_is_the_customers_table(entity: Any, table: dict[str, tuple[str, ...]]) -> None:
    found = {name: (rule.column, rule.type, rule.direction, rule.on_conflict) for name, rule in entity.fields.items()}
    assert found == table


def test_the_keys_and_tables_are_the_customers() -> None:
    assert set(MAPPING.entities) == {"asset", "order"}
    assert (ASSET.table, ASSET.set, ASSET.id) == (
        "msdyn_customerasset",
        "msdyn_customerassets",
        "msdyn_customerassetid",
    )
    assert (ORDER.table, ORDER.set, ORDER.id) == ("salesorder", "salesorders", "salesorderid")
    assert (ASSET.key.name, ASSET.key.column) == ("codigo_interno", "msdyn_assetnumber")
    assert (ORDER.key.name, ORDER.key.column) == ("numero_requisicion", "name")


def test_a_creation_date_is_written_once_under_the_column_that_takes_it() -> None:
    rule = ORDER.fields["fecha_creacion"]
    assert (rule.write_column, rule.create_only) == ("overriddencreatedon", True)


def test_the_cmms_codes_own_names_are_accepted_beside_the_documents() -> None:
    assert {name: ASSET.names[name] for name in ("serie", "costo", "fecha_compra")} == {
        "serie": "numero_de_serie",
        "costo": "valor_adquisicion",
        "fecha_compra": "fecha_adquisicion",
    }
    assert ORDER.names["cr8ca_requisicion"] == "numero_requisicion"


def test_a_deleted_record_is_deactivated_and_an_order_takes_edits_only_while_active() -> None:
    assert [entity.on_delete for entity in (ASSET, ORDER)] == ["deactivate", "deactivate"]
    assert ORDER.open_states == frozenset({0})
    assert ASSET.open_states is None
    assert ASSET.create_in == ORDER.create_in == {"cmms", "dynamics"}


@pytest.mark.parametrize("entity", [ASSET, ORDER], ids=["asset", "order"])
def test_every_column_that_is_needed_is_read_once(entity: Any) -> None:
    needed = {entity.id, entity.key.column, "statecode"}
    needed |= {column for rule in entity.fields.values() for column in rule.read_columns()}
    assert needed <= set(entity.select)
    assert len(set(entity.select)) == len(entity.select)
    # A column that is only for writing cannot be read.
    assert "overriddencreatedon" not in entity.select


def test_the_stamp_is_read_with_a_row_and_tells_no_difference() -> None:
    assert "cmms_operation" in ASSET.select
    assert "cmms_operation" not in ASSET.mapped_columns
    without = parse_mapping(TEXT.replace('stamp = "cmms_operation"', ""), "file mine.toml").entities["asset"]
    assert without.stamp is None
    assert set(ASSET.select) - set(without.select) == {"cmms_operation"}


def test_a_table_that_is_not_mapped_has_no_entity() -> None:
    assert MAPPING.tables["salesorder"] is ORDER
    assert "contact" not in MAPPING.tables


# Each change makes the document wrong in one way; the message names the file, the entity and the field.
WRONG = {
    "no TOML": ("version = 1", "version = ", "not TOML"),
    "another version": ("version = 1", "version = 2", "version: "),
    "unknown type": (
        'column = "msdyn_name", type = "string"',
        'column = "x", type = "text"',
        "asset.fields.nombre.type",
    ),
    "misspelt rule": ('"msdyn_name", type', '"msdyn_name", lenght = 3, type', "asset.fields.nombre.lenght"),
    "no column": ('nombre = { column = "msdyn_name", ', "nombre = { ", "asset.fields.nombre.column"),
    "not a table": ('nombre = { column = "msdyn_name", type = "string", length = 100 }', "nombre = 5", "fields.nombre"),
    "misspelt policy": ('on_delete = "deactivate"', 'on_delete = "erase"', "entities.asset.on_delete"),
    "no key": ('key = { name = "codigo_interno"', 'kez = { name = "codigo_interno"', "entities.asset.key"),
    "name used twice": ('aliases = ["serie"]', 'aliases = ["costo"]', "costo is used by numero_de_serie"),
    "key's name as alias": ('aliases = ["serie"]', 'aliases = ["codigo_interno"]', "codigo_interno is used by"),
    "column used twice": ('"msdyn_serialid"', '"msdyn_name"', "msdyn_name is used by nombre and by numero_de_serie"),
    "key's column as field": ('"msdyn_serialid"', '"msdyn_assetnumber"', "msdyn_assetnumber is used by codigo_interno"),
    "stamp's column as field": ('"msdyn_serialid"', '"cmms_operation"', "cmms_operation is used by the stamp and by"),
    "stamp on the key": (
        'stamp = "cmms_operation"',
        'stamp = "msdyn_assetnumber"',
        "is used by codigo_interno and by the stamp",
    ),
    "half a choice": ('1 = "BORRADOR"', '1 = "BORRADO"', "order.fields.estado: to_cmms_choices names BORRADO"),
    "no inactive state": ("inactive = { state = 1, status = 2 }", "", "asset.inactive: is missing, and needed"),
    "an entity without a queue": ("entities.asset", "entities.contact", "no entity 'contact': there are asset, order"),
    "misspelt entity": ("entities.order]", "entities.orders]", "no entity 'orders': did you mean 'order'?"),
    "misspelt rule, suggested": ('"msdyn_name", type', '"msdyn_name", lenght = 3, type', "did you mean 'length'?"),
    "misspelt type": ('"msdyn_acquisitiondate", type = "date"', '"x", type = "dat"', "not 'dat': did you mean 'date'?"),
    "misspelt part of the key": ("length = 50 }", "lengt = 50 }", "asset.key.lengt: there is no 'lengt' here: did you"),
    "misspelt part of a choice": ("PENDIENTE = { state", "PENDIENTE = { stat", "PENDIENTE.stat: there is no 'stat'"),
    "misspelt side": (
        'create_in = ["cmms", "dynamics"]',
        'create_in = ["cmms", "dynamic"]',
        "did you mean 'dynamics'?",
    ),
    "missing": ('alternate_key = "cmms_AssetKey"', "", "alternate_key: is missing, and needed"),
    "one table twice": ('table = "salesorder"', 'table = "msdyn_customerasset"', "the same table"),
}


@pytest.mark.parametrize(("old", "new", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_mapping_is_told_where_and_what(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as refused:
        parse_mapping(TEXT.replace(old, new), "file mine.toml")
    assert "mine.toml" in refused.value.message
    assert says in refused.value.message


def test_every_problem_of_a_mapping_is_told_at_once() -> None:
    wrong = TEXT.replace('"decimal"', '"money"')
    with pytest.raises(ConfigurationError) as refused:
        parse_mapping(wrong, "file mine.toml")
    named = ["valor_adquisicion", "valor_libros", "total"]
    assert [name for name in named if name in refused.value.message] == named


STANDARD = ("field_service.toml", "field_service_purchase_orders.toml")


@pytest.mark.parametrize("name", STANDARD)
def test_a_standard_organizations_mapping_can_be_used(name: str) -> None:
    mapping = load_mapping(DOCUMENT_MAPPING.with_name(name))
    asset, order = mapping.entities["asset"], mapping.entities["order"]
    waited = {rule.name: [target.mapped for target in rule.targets] for rule in (*asset.lookups, *order.lookups)}
    assert waited.pop("activo_padre") == [True]
    assert True not in itertools.chain(*waited.values())
    assert "_msdyn_account_value" in asset.select
    assert all(name.endswith("@odata.bind") for name in order.constants)
    columns = {rule.column for rule in asset.fields.values()}
    assert {column for column in columns if not column.startswith(("msdyn_", "cmms_"))} == set()


def test_both_standard_mappings_have_the_same_assets() -> None:
    one, other = (load_mapping(DOCUMENT_MAPPING.with_name(name)).entities["asset"] for name in STANDARD)
    assert one == other


# The standard mapping, made wrong.
BIND = '"pricelevelid@odata.bind"'
CONSTANT = f'{BIND} = "/pricelevels('
WRONG_STANDARD = {
    "a constant that is no row": (f"{CONSTANT}00000000-0000-0000-0000-000000000001)", f'{BIND} = "x', "name a row"),
    "a constant that a lookup writes": (BIND, '"customerid_account@odata.bind"', "is written by a field, too"),
    "a constant that a field writes": (CONSTANT, f'description = "x"\n{CONSTANT}', "description is written by"),
    "a misspelt part of a target": (
        'key = "accountnumber"',
        'kee = "accountnumber"',
        "0.kee: there is no 'kee' here: did you mean 'key'?",
    ),
    "a target without a key": (', key = "accountnumber" }', " }", "fields.cliente.targets.0.key"),
}


@pytest.mark.parametrize(("old", "new", "says"), WRONG_STANDARD.values(), ids=WRONG_STANDARD.keys())
def test_a_wrong_lookup_or_constant_is_told_where_and_what(old: str, new: str, says: str) -> None:
    text = DOCUMENT_MAPPING.with_name(STANDARD[0]).read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ConfigurationError) as refused:
        parse_mapping(text.replace(old, new), "file mine.toml")
    assert says in refused.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_mapping_that_cannot_be_read_names_the_setting(tmp_path: Any, content: bytes | None) -> None:
    path = tmp_path / "mapping.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="SYNC_MAPPING") as refused:
        load_mapping(path)
    assert str(path) in refused.value.message


@pytest.mark.parametrize("key", ["0001", "1/2", "a b", "%&'#?", "ñandú", "x" * 50])
def test_a_key_is_any_printable_text_up_to_its_length(key: str) -> None:
    assert ASSET.usable_key(key) == key


@pytest.mark.parametrize(
    "raw", ["", None, 1, 1.0, True, [], "x" * 51, " 1", "1 ", "1\n", "a\tb", "\ud800", "\0", "\xa0x"]
)
def test_a_key_that_could_mean_two_records_is_refused(raw: object) -> None:
    with pytest.raises(KeyNotUsable, match=r"codigo_interno \(asset\)") as refused:
        ASSET.usable_key(raw)
    assert refused.value.field == "codigo_interno"


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_is_a_key_unchanged_or_refused(raw: str) -> None:
    # A refusal is a KeyNotUsable and nothing else: any other exception fails the test.
    with contextlib.suppress(KeyNotUsable):
        assert ASSET.usable_key(raw) == raw
