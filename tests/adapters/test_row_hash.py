"""Row hashes agree exactly where the rules' normal forms do, and with what an agreed link holds."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.adapters.row_hasher import UNUSABLE, Number, RowHasher
from shared.domain.base import Base
from shared.domain.jsontext import parse
from shared.domain.link import Link
from shared.domain.model import Value
from shared.domain.row_hash import row_hash
from shared.errors import MappingError
from tests.fakes import document_mapping

ASSET = document_mapping().entities["asset"]
ORDER = document_mapping().entities["order"]
RULES = {name: rule.fingerprint for name, rule in ASSET.rules.items()}
NONE = {"a": "", "b": ""}

TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "1.5", "1", "é"]), st.integers(0, 3), st.floats(0, 3))
DECIMALS = st.one_of(
    st.none(),
    st.sampled_from(["", "0", "0.00", "-0.0", "1.50", "1.5", "+1.5", "01.5", "1e3", ".5", "5.", "abc", "1_0.0", "10"]),
    st.integers(-2, 2),
    st.booleans(),
    st.decimals(-5, 5, places=2).map(float),
)
DATES = st.sampled_from(
    [None, "", "2024-02-29", "2024-02-30", "2024-02-29T00:00:00", "2024-02-29T10:00:00", "x" * 10, 7]
)
KEYS = st.sampled_from(["A-1", "A-2", "a-1"])
RECORDS = st.tuples(KEYS, TEXTS, TEXTS, DECIMALS, DECIMALS, DATES)


def exactly(row: dict[str, Any], *, dynamics: bool) -> dict[str, Value] | None:
    try:
        return {
            name: rule.from_dynamics(row) if dynamics else rule.from_cmms(row[name])
            for name, rule in ASSET.rules.items()
        }
    except MappingError:
        return None


@settings(max_examples=60, deadline=None)
@given(a=RECORDS, b=RECORDS)
@example(a=("A", "a", None, 1.5, "1.50", None), b=("A", "a", "", "1.5", 1.5, ""))
@example(a=("A", None, None, None, "-0.0", None), b=("A", None, None, None, "0", None))
@example(a=("A", None, None, None, "+1.5", None), b=("A", None, None, None, "01.5", None))
@example(a=("A", "1.5", None, None, None, None), b=("A", 1.5, None, None, None, None))
@example(a=("A", "a", None, None, None, None), b=("B", "a", None, None, None, None))
@pytest.mark.parametrize("side", ["cmms", "dynamics"])
def test_two_records_have_the_same_hash_where_their_normal_forms_are_the_same(
    side: str, a: tuple[Any, ...], b: tuple[Any, ...]
) -> None:
    hasher = RowHasher(ASSET)
    names = [name if side == "cmms" else rule.column for name, rule in ASSET.rules.items()]
    found = []
    for values in (a, b):
        text = json.dumps(dict(zip(names, values, strict=True)))
        normal = exactly(parse(text), dynamics=side == "dynamics")
        (hashed,) = (hasher.cmms if side == "cmms" else hasher.dynamics)([json.loads(text, parse_float=Number)])
        found.append((normal, hashed))
        if normal is not None:
            assert hashed == row_hash(normal, RULES)
    (one, first), (other, second) = found
    if one is not None or other is not None:
        assert (first == second) == (one == other), "what a rule refuses agrees with nothing that it takes"


def test_an_agreed_link_expects_the_hashes_that_both_sides_give() -> None:
    hasher = RowHasher(ORDER)
    row = {
        "description": "x", "totalamount": 5,
        "createdon": "2026-01-01T10:00:00Z", "statuscode": 3,
    }  # fmt: skip
    row[ORDER.key.column] = "R-1"
    cmms = {
        ORDER.key.name: "R-1", "cr8ca_motivo": "x", "total": "5.00",
        "fecha_creacion": "2026-01-01T11:00:00.25+01:00", "estado": "AUTORIZADO",
    }  # fmt: skip
    values: dict[str, tuple[Value, Value]] = {
        ORDER.key.name: ("R-1", "R-1"),
        "justificacion": ("x", "x"),
        "total": ("5", "5"),
        "fecha_creacion": ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        "estado": ("AUTORIZADO", "3"),
    }
    prints = {name: rule.fingerprint for name, rule in ORDER.rules.items()}
    link = Link(
        bases={name: Base(cmms=ours, dynamics=theirs, rule=prints[name]) for name, (ours, theirs) in values.items()}
    )
    assert hasher.cmms([cmms]) == [link.hashes["cmms"]]
    assert hasher.dynamics([row]) == [link.hashes["dynamics"]]
    fewer = link.model_copy(update={"bases": {"total": link.bases["total"]}})
    assert fewer.hashes["cmms"] not in {link.hashes["cmms"], UNUSABLE}
    assert hasher.cmms([{"total": "5"}]) == [UNUSABLE], "a record that leaves fields unsaid is looked at"


ROWS = st.fixed_dictionaries(
    {},
    optional={
        "codigo_interno": KEYS,
        "nombre": TEXTS,
        "numero_de_serie": TEXTS,
        "valor_adquisicion": DECIMALS,
        "valor_libros": DECIMALS,
        "fecha_adquisicion": DATES,
    },
)
USUAL = {
    "codigo_interno": "A-1", "nombre": "Bomba", "numero_de_serie": None, "valor_adquisicion": "10.50",
    "valor_libros": "0.00", "fecha_adquisicion": "2024-02-29",
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.one_of(st.just(USUAL), ROWS), max_size=12))
@example(rows=[USUAL, {**USUAL, "nombre": []}, USUAL, {**USUAL, "fecha_adquisicion": 7}, {}])
@example(rows=[USUAL, {**USUAL, "valor_libros": "12.5.0"}, {**USUAL, "valor_libros": "1\n2"}])
@example(rows=[{**USUAL, "valor_libros": 0}, {**USUAL, "valor_libros": True}, {**USUAL, "valor_libros": {}}])
@example(rows=[USUAL, {**USUAL, "nombre": "half \ud800 a pair"}])
@example(rows=[{**USUAL, "nombre": None}, {**USUAL, "nombre": "\x1e"}, {**USUAL, "nombre": "a\x1fb"}])
def test_what_is_unusual_in_a_page_changes_no_other_hash(rows: list[dict[str, Any]]) -> None:
    hasher = RowHasher(ASSET)
    columns = {name: rule.column for name, rule in ASSET.rules.items()}
    parsed = json.loads(json.dumps(rows), parse_float=Number)
    shown = [{columns[name]: value for name, value in row.items()} for row in parsed]
    assert hasher.cmms(parsed) == [one for row in parsed for one in hasher.cmms([row])]
    assert hasher.dynamics(shown) == [one for row in shown for one in hasher.dynamics([row])]


def test_a_decimal_that_no_rule_takes_makes_the_record_unusable() -> None:
    hasher = RowHasher(ASSET)
    refused: list[Any] = ["12.5.0", "1..", "1_0", "0x1", "1" * 41, "+-1", 0.1]
    assert hasher.cmms([{**USUAL, "valor_libros": value} for value in refused]) == [UNUSABLE] * len(refused)


def test_a_page_whose_records_use_an_alias_is_hashed_by_it() -> None:
    hasher = RowHasher(ASSET)
    alias = next(alias for rule in ASSET.fields.values() for alias in rule.aliases if rule.name == "numero_de_serie")
    called = {(alias if name == "numero_de_serie" else name): value for name, value in USUAL.items()}
    assert hasher.cmms([called, called]) == hasher.cmms([USUAL]) * 2
    assert hasher.cmms([USUAL, USUAL]) == hasher.cmms([USUAL]) * 2


def test_neither_names_nor_values_that_run_into_each_other_give_one_hash() -> None:
    alike: list[dict[str, Value]] = [
        {}, {"a": None}, {"a": "b"}, {"ab": ""}, {"a": "1=b"}, {"a": "b", "c": None}, {"a": None, "c": "b"},
        {"a": "", "b": "x"}, {"a": "1:b1=x"}, {"a": "-"}, {"a": "\x1e"}, {"a": "\x1d1"}, {"a": "\x1d"},
        {"a": "\x1d\x1d1"},
        {"a": "\x1f", "b": ""}, {"a": "", "b": "\x1f"}, {"a": "\x1f\x1e", "b": None}, {"a": None, "b": "\x1f\x1e"},
    ]  # fmt: skip
    assert len({row_hash(values, dict.fromkeys(values, "")) for values in alike}) == len(alike)
    assert row_hash({"b": "1", "a": "2"}, NONE) == row_hash({"a": "2", "b": "1"}, NONE)
    assert row_hash({"a": "1"}, {"a": "one rule"}) != row_hash({"a": "1"}, {"a": "another"})


@pytest.mark.parametrize("odd", [True, False, "3", 3.0, [3], None])
def test_an_option_is_a_whole_number_of_the_table_and_nothing_that_looks_like_one(odd: object) -> None:
    columns = {name: rule.read_column for name, rule in ORDER.rules.items()}
    row: dict[str, Any] = dict.fromkeys(columns.values()) | {columns[ORDER.key.name]: "R-1"}
    usual, other = RowHasher(ORDER).dynamics([{**row, columns["estado"]: 1}, {**row, columns["estado"]: odd}])
    assert usual != other
