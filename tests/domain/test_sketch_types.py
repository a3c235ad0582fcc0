"""Row hashes of booleans, whole numbers and lookups follow their normal forms, as all others do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.jsontext import parse
from shared.domain.model import Value
from shared.domain.schema.mapping import EntityMapping
from shared.domain.sketch import Number, Sketcher
from shared.errors import MappingError
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping

_ASSET = load_mapping(DOCUMENT_MAPPING.with_name("field_service.toml")).entities["asset"]
NAMES = ("critico", "horas_de_uso", "cliente")
ENTITY: EntityMapping = _ASSET.model_copy(update={"fields": {name: _ASSET.fields[name] for name in NAMES}})
COLUMNS = [rule.read_columns()[0] for rule in ENTITY.fields.values()]

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(["", "true", "1", "-1", "01", "1.0", "ACC-1", 1.0, 1.5, [], ["guid"]]),
)
ROWS = st.tuples(ANYTHING, ANYTHING, ANYTHING)


def normal(row: tuple[Any, ...], *, dynamics: bool) -> tuple[Value, ...] | None:
    raw = parse(json.dumps(dict(zip(COLUMNS if dynamics else NAMES, row, strict=True))))
    try:
        return tuple(
            rule.from_dynamics(raw) if dynamics else rule.from_cmms(raw[rule.name]) for rule in ENTITY.fields.values()
        )
    except MappingError:
        return None


@pytest.mark.parametrize("dynamics", [False, True], ids=["cmms", "dynamics"])
@given(one=ROWS, other=ROWS)
def test_two_rows_have_one_hash_exactly_where_they_have_one_normal_form(
    dynamics: bool,  # a parameter of the case
    one: tuple[Any, ...],
    other: tuple[Any, ...],
) -> None:
    sketcher = Sketcher(ENTITY)
    sketch = sketcher.dynamics if dynamics else sketcher.cmms
    names = COLUMNS if dynamics else NAMES
    rows = [json.loads(json.dumps(dict(zip(names, row, strict=True))), parse_float=Number) for row in (one, other)]
    first, second = sketch(rows)
    forms = [normal(row, dynamics=dynamics) for row in (one, other)]
    if None not in forms:
        assert (first == second) == (forms[0] == forms[1])
        remembered = [
            {name: {"cmms": value, "dynamics": value} for name, value in zip(NAMES, form or (), strict=True)}
            for form in forms
        ]
        assert [pair[0] for pair in sketcher.bases(remembered)] == [first, second]
    elif forms[0] != forms[1]:
        assert first is None or first != second
