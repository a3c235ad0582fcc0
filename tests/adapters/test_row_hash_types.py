"""Row hashes of booleans, whole numbers and lookups follow their normal forms, as all others do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.row_hasher import UNUSABLE, Number, RowHasher
from shared.domain.jsontext import parse
from shared.domain.model import Value
from shared.domain.row_hash import row_hash
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping

_ASSET = load_mapping(DOCUMENT_MAPPING.with_name("field_service.toml")).entities["asset"]
NAMES = ("critico", "horas_de_uso", "cliente")
ENTITY: EntityMapping = _ASSET.model_copy(update={"fields": {name: _ASSET.fields[name] for name in NAMES}})
KEY = ENTITY.key
PRINTS = {name: rule.fingerprint for name, rule in ENTITY.rules.items()}
COLUMNS = [rule.read_column for rule in ENTITY.fields.values()]

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
    hasher = RowHasher(ENTITY)
    hashes = hasher.dynamics if dynamics else hasher.cmms
    names = (*(COLUMNS if dynamics else NAMES), KEY.column if dynamics else KEY.name)
    texts = [json.dumps(dict(zip(names, (*row, "A"), strict=True))) for row in (one, other)]
    first, second = hashes([json.loads(text, parse_float=Number) for text in texts])
    forms = [normal(row, dynamics=dynamics) for row in (one, other)]
    if None not in forms:
        assert (first == second) == (forms[0] == forms[1])
        known = [dict(zip((*NAMES, KEY.name), (*(form or ()), "A"), strict=True)) for form in forms]
        assert [row_hash(values, PRINTS) for values in known] == [first, second]
    elif forms[0] != forms[1]:
        assert UNUSABLE in {first, second}
