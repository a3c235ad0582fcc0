"""One field's rule: what it lets through, translates and refuses."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.limits import utf16_length
from shared.errors import MappingError
from tests.fakes import document_mapping

MAPPING = document_mapping()
ASSET, ORDER = MAPPING.entities["asset"], MAPPING.entities["order"]
ESTADO = ORDER.fields["estado"]
STATUS = {
    "BORRADOR": (0, 1),
    "PENDIENTE": (0, 2),
    "SOLICITUD_INFORMACION": (0, 2),
    "AUTORIZADO": (1, 3),
    "VISTO_PROCURA": (1, 3),
    "PROCURA_PROCESANDO": (1, 3),
    "EN_ORDEN_COMPRA": (1, 3),
    "RECHAZADO": (2, 4),
    "CANCELADO": (2, 4),
    "RECIBIDA": (3, 100001),
}
BACK = {
    1: "BORRADOR",
    2: "PENDIENTE",
    3: "AUTORIZADO",
    4: "CANCELADO",
    100001: "RECIBIDA",
    100002: "EN_ORDEN_COMPRA",
    100003: "RECIBIDA",
    690970000: "SOLICITUD_INFORMACION",
}


@pytest.mark.parametrize(("code", "expected"), STATUS.items())
def test_a_cmms_state_becomes_its_status_and_state(code: str, expected: tuple[int, int]) -> None:
    status = ESTADO.to_dynamics(ESTADO.from_cmms(code))
    assert (ESTADO.state_of(status), int(status or "")) == expected


@pytest.mark.parametrize(("option", "code"), BACK.items())
def test_a_dynamics_status_becomes_its_cmms_state(option: int, code: str) -> None:
    assert ESTADO.to_cmms(ESTADO.from_dynamics({"statuscode": option})) == code


def test_the_tables_hold_these_choices_and_no_others() -> None:
    assert set(ESTADO.to_dynamics_choices) == set(STATUS)
    assert ESTADO.to_cmms_choices == BACK


@pytest.mark.parametrize("code", STATUS)
def test_a_state_written_to_dynamics_and_read_back_agrees(code: str) -> None:
    assert ESTADO.agree(code, ESTADO.to_dynamics(code))


@pytest.mark.parametrize("option", BACK)
def test_a_status_written_to_the_cmms_and_read_back_agrees(option: int) -> None:
    assert ESTADO.agree(ESTADO.to_cmms(str(option)), str(option))


@pytest.mark.parametrize(("code", "option"), [("BORRADOR", "2"), ("RECHAZADO", "1"), ("AUTORIZADO", "100002")])
def test_states_that_neither_table_joins_do_not_agree(code: str, option: str) -> None:
    assert not ESTADO.agree(code, option)


@pytest.mark.parametrize(("code", "option"), [(None, "1"), ("BORRADOR", None)])
def test_no_state_agrees_with_no_other(code: str | None, option: str | None) -> None:
    assert not ESTADO.agree(code, option)
    assert ESTADO.agree(None, None)


@pytest.mark.parametrize("raw", ["BORRADA", "borrador", "BORRADOR ", 1, True, "1"])
def test_an_unknown_cmms_state_is_an_error_and_never_a_default(raw: object) -> None:
    with pytest.raises(MappingError, match="estado: the value in Energy CMMS") as refused:
        ESTADO.from_cmms(raw)
    assert refused.value.field == "estado"


@pytest.mark.parametrize("raw", [5, 100004, "1", True, 1.0, Decimal(1)])
def test_an_unknown_dynamics_option_is_an_error_and_never_a_default(raw: object) -> None:
    with pytest.raises(MappingError, match="estado: the value in Dynamics"):
        ESTADO.from_dynamics({"statuscode": raw})


def test_a_state_cannot_be_cleared_in_dynamics() -> None:
    with pytest.raises(MappingError, match="cannot be cleared"):
        ESTADO.to_dynamics(None)


@given(st.text(min_size=101, max_size=140, alphabet="abc "))
def test_a_text_over_its_length_is_refused_not_cut(text: str) -> None:
    with pytest.raises(MappingError, match=f"nombre.* has {len(text)} characters, and msdyn_name takes 100"):
        ASSET.fields["nombre"].to_dynamics(text)


def test_a_text_of_exactly_its_length_passes() -> None:
    assert ASSET.fields["nombre"].to_dynamics("x" * 100) == "x" * 100


@pytest.mark.parametrize("write", ["to_dynamics", "to_cmms"])
def test_decimals_beyond_the_scale_are_refused_not_rounded(write: str) -> None:
    rule = ASSET.fields["valor_libros"]
    assert getattr(rule, write)("1234.56") == "1234.56"
    with pytest.raises(MappingError, match=r"valor_libros.* more than the 2 decimals"):
        getattr(rule, write)("1234.567")


def test_zeros_beyond_the_scale_are_no_decimals() -> None:
    rule = ASSET.fields["valor_libros"]
    assert rule.to_dynamics(rule.from_cmms("1234.5600")) == "1234.56"


@pytest.mark.parametrize(
    "name", ["nombre", "numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion"]
)
def test_no_value_stays_no_value_both_ways_and_is_never_written_as_zero(name: str) -> None:
    rule = ASSET.fields[name]
    assert rule.to_dynamics(rule.from_cmms(None)) is None
    assert rule.to_cmms(rule.from_dynamics({rule.column: None})) is None


@given(st.sampled_from(["valor_adquisicion", "valor_libros"]), st.decimals(-(10**9), 10**9, places=2))
def test_a_figure_crosses_and_comes_back_the_same(name: str, figure: Decimal) -> None:
    rule = ASSET.fields[name]
    there = rule.to_dynamics(rule.from_cmms(str(figure)))
    back = rule.to_cmms(rule.from_dynamics({rule.column: Decimal(there or "")}))
    assert rule.agree(back, there)
    assert Decimal(back or "") == figure


@given(st.dates(min_value=date(1753, 1, 1)))
def test_a_day_crosses_and_comes_back_the_same(day: Any) -> None:
    rule = ASSET.fields["fecha_adquisicion"]
    there = rule.to_dynamics(rule.from_cmms(day.isoformat()))
    assert rule.to_cmms(rule.from_dynamics({rule.column: there})) == day.isoformat()


def test_an_error_names_the_field_the_side_and_what_to_do_but_never_the_value() -> None:
    with pytest.raises(MappingError) as refused:
        ASSET.fields["valor_libros"].from_cmms("s3cr3t")
    message = refused.value.message
    assert message.startswith("valor_libros: the value in Energy CMMS")
    assert "Correct it there" in message
    assert "s3cr3t" not in message


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"type": "choice"}, "needs to_dynamics_choices"),
        ({"type": "string", "to_dynamics_choices": {"A": {"status": 1}}}, "only a choice"),
        ({"type": "choice", "to_dynamics_choices": {"A": {"status": 1}}}, "to_cmms_choices lacks 1"),
        ({"type": "choice", "to_dynamics_choices": {"A": {"status": 1}}, "to_cmms_choices": {1: "B"}}, "names B"),
        ({"type": "choice", "to_dynamics_choices": {"A": {"status": 1}}, "to_cmms_choices": {2: "A"}}, "lacks 1"),
        (
            {"type": "choice", "to_dynamics_choices": {"A": {"state": 0, "status": 1}}, "to_cmms_choices": {1: "A"}},
            "belong together",
        ),
        ({"type": "decimal", "length": 3}, "length is for strings"),
        ({"type": "string", "scale": 3}, "scale is for decimals"),
        ({"type": "string", "length": 0}, "greater than 0"),
        ({"type": "string", "minimum": 1}, "minimum and maximum are for numbers"),
        ({"type": "decimal", "minimum": 2, "maximum": 1}, "minimum is above maximum"),
        ({"type": "decimal", "scale": 11}, "less than or equal to 10"),
        ({"type": "money"}, "string"),
        ({"type": "lookup"}, "a lookup, and only a lookup, needs a target"),
        ({"type": "string", "target": {"table": "t", "set": "s", "id": "i", "key": "k"}}, "only a lookup"),
        ({"type": "lookup", "target": {"table": "t", "set": "s", "id": "i"}}, "key"),
        (
            {
                "type": "lookup",
                "targets": [{"table": t, "set": "s", "id": "i", "key": "k", "bind": "b"} for t in ("t", "u")],
            },
            "each target needs a 'bind' of its own",
        ),
        (
            {"type": "lookup", "write_column": "w", "target": {"table": "t", "set": "s", "id": "i", "key": "k"}},
            "not by a write_column",
        ),
        ({"type": "string", "colunm": "x"}, "Extra inputs"),
        ({"type": "string", "on_conflict": "newest"}, "cmms"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(rule: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FieldMapping.model_validate({"column": "c", **rule})


@pytest.mark.parametrize(
    ("rule", "good", "bad", "says"),
    [
        ({"type": "date"}, "1753-01-01", "1752-12-31", "is before 1753-01-01"),
        ({"type": "date"}, "9999-12-31", "0001-01-01", "is before 1753-01-01"),
        ({"type": "datetime"}, "1753-01-01T00:00:00Z", "1752-12-31T23:59:59Z", "is before 1753-01-01"),
        (
            {"type": "decimal"},
            "922337203685477",
            "922337203685477.01",
            "is outside -922337203685477 to 922337203685477",
        ),
        ({"type": "decimal"}, "-922337203685477", "-922337203685478", "is outside"),
        ({"type": "decimal", "minimum": "0", "maximum": "10.5"}, "10.5", "10.51", "is outside 0 to 10.5"),
        ({"type": "decimal", "minimum": "0"}, "0", "-0.01", "is outside 0 to 922337203685477"),
        ({"type": "string"}, "a\tb\nc", "a\x0bb", "holds a control character"),
        ({"type": "string"}, "\ufffd", "\uffff", "holds a control character"),
        ({"type": "string", "length": 4}, "\U0001f600\U0001f600", "\U0001f600\U0001f600x", "has 5 characters"),
        ({"type": "string", "length": 4}, "ñandú"[:4], "ñandú", "has 5 characters"),
    ],
)
def test_what_dynamics_cannot_store_is_refused_before_it_is_written(
    rule: dict[str, object], good: str, bad: str, says: str
) -> None:
    field = FieldMapping.model_validate({"name": "campo", "column": "cmms_campo", **rule})
    assert field.to_dynamics(field.from_cmms(good)) == field.from_cmms(good)
    with pytest.raises(MappingError, match=says) as refused:
        field.to_dynamics(field.from_cmms(bad))
    assert refused.value.field == "campo"
    assert "cmms_campo" in refused.value.message


def test_dynamics_limits_do_not_bind_what_goes_to_the_cmms() -> None:
    field = FieldMapping.model_validate({"name": "campo", "column": "c", "type": "string", "length": 2})
    assert field.to_cmms("\U0001f600\U0001f600") == "\U0001f600\U0001f600"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_texts_length_is_that_of_its_utf_16_form(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2


def field(kind: str, **rule: object) -> FieldMapping:
    return FieldMapping.model_validate({"name": "campo", "column": "cmms_campo", "type": kind, **rule})


LOOKUP = field("lookup", target={"table": "account", "set": "accounts", "id": "accountid", "key": "accountnumber"})


@pytest.mark.parametrize(
    ("rule", "raw", "normal", "as_json"),
    [
        (field("boolean"), True, "true", True),
        (field("boolean"), False, "false", False),
        (field("boolean"), None, None, None),
        (field("integer"), 42, "42", 42),
        (field("integer"), "-7", "-7", -7),
        (field("integer"), Decimal("5.00"), "5", 5),
        (field("integer"), 0, "0", 0),
        (field("integer"), None, None, None),
        (field("decimal"), Decimal("5.50"), "5.5", "5.5"),
        (LOOKUP, "ACC-1", "ACC-1", "ACC-1"),
        (LOOKUP, "", None, None),
    ],
)
def test_a_value_has_one_normal_form_and_goes_out_as_its_type(
    rule: FieldMapping, raw: object, normal: str | None, as_json: object
) -> None:
    column = rule.read_column
    assert rule.from_cmms(raw) == rule.from_dynamics({column: raw}) == normal
    assert rule.to_dynamics(normal) == rule.to_cmms(normal) == normal
    assert rule.as_json(normal) == as_json
    assert type(rule.as_json(normal)) is type(as_json)


NOT_OF_THE_TYPE: list[tuple[FieldMapping, list[Any]]] = [
    (field("boolean"), ["true", "sí", 1, 0, Decimal(1), []]),
    (field("integer"), [True, "1.5", Decimal("1.5"), "1e3", "siete", []]),
    (LOOKUP, [5, True, {}]),
]


@pytest.mark.parametrize(("rule", "raw"), [(rule, raw) for rule, values in NOT_OF_THE_TYPE for raw in values])
def test_what_is_not_of_the_type_is_an_error_and_never_a_guess(rule: FieldMapping, raw: object) -> None:
    with pytest.raises(MappingError, match="campo: the value in Energy CMMS"):
        rule.from_cmms(raw)


@pytest.mark.parametrize("number", ["2147483648", "-2147483649"])
def test_a_whole_number_has_32_bits(number: str) -> None:
    with pytest.raises(MappingError, match="is outside -2147483648 to 2147483647"):
        field("integer").to_dynamics(number)


def test_a_lookups_columns_are_read_and_defined_under_two_names() -> None:
    assert LOOKUP.read_columns() == ("_cmms_campo_value",)
    assert LOOKUP.attributes() == ("cmms_campo",)
    assert [target.bind for target in LOOKUP.targets] == ["cmms_campo"]
