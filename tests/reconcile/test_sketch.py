"""Sketches agree exactly where the rules' normal forms do."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.jsontext import parse
from shared.domain.model import Value
from shared.domain.sketch import Number, Sketcher
from shared.errors import MappingError
from tests.fakes import document_mapping

ASSET = document_mapping().entities["asset"]
ORDER = document_mapping().entities["order"]

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


def exactly(row: dict[str, Any], *, dynamics: bool) -> tuple[Value, ...] | None:
    rules = ASSET.fields.values()
    try:
        return tuple(rule.from_dynamics(row) if dynamics else rule.from_cmms(row[rule.name]) for rule in rules)
    except MappingError:
        return None


@given(a=st.tuples(TEXTS, TEXTS, DECIMALS, DECIMALS, DATES), b=st.tuples(TEXTS, TEXTS, DECIMALS, DECIMALS, DATES))
@example(a=("a", None, 1.5, "1.50", None), b=("a", "", "1.5", 1.5, ""))
@example(a=(None, None, None, "-0.0", None), b=(None, None, None, "0", None))
@example(a=(None, None, None, "+1.5", None), b=(None, None, None, "01.5", None))
@example(a=("1.5", None, None, None, None), b=(1.5, None, None, None, None))
def test_an_asset_of_either_side_is_sketched_as_its_normal_form(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    rules = list(ASSET.fields.values())
    names, columns = [rule.name for rule in rules], [rule.column for rule in rules]
    sketcher = Sketcher(ASSET)

    def both(values: tuple[Any, ...]) -> list[tuple[tuple[Value, ...] | None, int | None]]:
        found = []
        for keys, sketch in ((names, sketcher.cmms), (columns, sketcher.dynamics)):
            text = json.dumps(dict(zip(keys, values, strict=True)))
            normal = exactly(parse(text), dynamics=keys is columns)
            found.append((normal, sketch([json.loads(text, parse_float=Number)])[0]))
        return found

    for (normal, sketch), (other, others) in zip(both(a), both(b), strict=True):
        remembered = {
            name: {"cmms": value, "dynamics": value} for name, value in zip(names, normal or (), strict=False)
        }
        if normal is not None:
            assert sketch is not None
            assert sketcher.bases([remembered]) == [(sketch, sketch)]
            if other is not None:
                assert (sketch == others) == (normal == other)
            else:
                assert sketch != others, "what a rule refuses agrees with nothing"


def test_an_order_is_sketched_with_its_option() -> None:
    sketcher = Sketcher(ORDER)
    row = {"description": "x", "totalamount": 5, "createdon": "2026-01-01T10:00:00Z", "statuscode": 3}
    bases = {
        "justificacion": {"cmms": "x", "dynamics": "x"},
        "total": {"cmms": "5", "dynamics": "5"},
        "fecha_creacion": {"cmms": "2026-01-01T10:00:00Z", "dynamics": "2026-01-01T10:00:00Z"},
        "estado": {"cmms": "AUTORIZADO", "dynamics": "3"},
    }
    cmms = {
        "cr8ca_motivo": "x",
        "total": "5.00",
        "fecha_creacion": "2026-01-01T11:00:00.25+01:00",
        "estado": "AUTORIZADO",
    }
    assert sketcher.bases([bases]) == [(*sketcher.cmms([cmms]), *sketcher.dynamics([row]))]
    assert sketcher.cmms([{"total": "5"}]) == [None], "a record that leaves fields unsaid is looked at"
    assert sketcher.bases([{"total": bases["total"]}]) == [(None, None)]


ROWS = st.fixed_dictionaries(
    {},
    optional={
        "nombre": TEXTS,
        "numero_de_serie": TEXTS,
        "valor_adquisicion": DECIMALS,
        "valor_libros": DECIMALS,
        "fecha_adquisicion": DATES,
    },
)
USUAL = {
    "nombre": "Bomba", "numero_de_serie": None, "valor_adquisicion": "10.50", "valor_libros": "0.00",
    "fecha_adquisicion": "2024-02-29",
}  # fmt: skip


@given(rows=st.lists(st.one_of(st.just(USUAL), ROWS), max_size=12))
@example(rows=[USUAL, {**USUAL, "nombre": []}, USUAL, {**USUAL, "fecha_adquisicion": 7}, {}])
@example(rows=[USUAL, {**USUAL, "valor_libros": "12.5.0"}, {**USUAL, "valor_libros": "1\n2"}])
@example(rows=[{**USUAL, "valor_libros": 0}, {**USUAL, "valor_libros": True}, {**USUAL, "valor_libros": {}}])
def test_what_is_unusual_in_a_page_changes_no_other_sketch(rows: list[dict[str, Any]]) -> None:
    sketcher = Sketcher(ASSET)
    columns = {rule.name: rule.column for rule in ASSET.fields.values()}
    parsed = json.loads(json.dumps(rows), parse_float=Number)
    shown = [{columns[name]: value for name, value in row.items()} for row in parsed]
    assert sketcher.cmms(parsed) == [sketch for row in parsed for sketch in sketcher.cmms([row])]
    assert sketcher.dynamics(shown) == [sketch for row in shown for sketch in sketcher.dynamics([row])]


def test_a_decimal_that_no_rule_takes_has_no_sketch() -> None:
    sketcher = Sketcher(ASSET)
    refused = ["12.5.0", "1..", "1_0", "0x1", "1" * 41, "+-1"]
    assert sketcher.cmms([{**USUAL, "valor_libros": text} for text in refused]) == [None] * len(refused)
    assert sketcher.cmms([{**USUAL, "valor_libros": 0.1}]) == [None], "a float has lost its digits"


def test_a_page_whose_records_use_an_alias_is_sketched_by_it() -> None:
    sketcher = Sketcher(ASSET)
    alias = next(alias for rule in ASSET.fields.values() for alias in rule.aliases if rule.name == "numero_de_serie")
    called = {(alias if name == "numero_de_serie" else name): value for name, value in USUAL.items()}
    assert sketcher.cmms([called, called]) == sketcher.cmms([USUAL]) * 2
    assert sketcher.cmms([called, USUAL, called]) == sketcher.cmms([USUAL]) * 3
