"""An operator's words, read against the mapping."""

import pytest

from shared.domain.model import Side
from shared.flows.operate.first_sync.choices import WrongChoice, choose
from tests.fakes import document_mapping

MAPPING = document_mapping()


@pytest.mark.parametrize(
    ("prefer", "asset"),
    [
        ((), {}),
        (("mapping",), {}),
        (("cmms",), {"valor_libros": "cmms"}),
        (("valor_libros=cmms",), {"valor_libros": "cmms"}),
        (("asset.valor_libros=cmms",), {"valor_libros": "cmms"}),
        (("cmms", "valor_libros=mapping"), {}),
        (("cmms", "valor_libros=dynamics"), {}),
    ],
)
def test_only_what_differs_from_the_field_s_rule_is_kept(prefer: tuple[str, ...], asset: dict[str, Side]) -> None:
    assert choose(MAPPING, entities=["asset"], prefer=prefer).entities["asset"].prefer == asset


def test_an_alias_names_its_field() -> None:
    found = choose(MAPPING, entities=["asset"], prefer=["serie=dynamics"]).entities["asset"].prefer
    assert found == {"numero_de_serie": "dynamics"}


def test_entities_are_taken_in_the_order_of_the_mapping() -> None:
    assert list(choose(MAPPING, entities=["order", "asset"]).entities) == ["asset", "order"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"entities": ["aset"]}, "asset"),
        ({"prefer": ["me"]}, "cmms, dynamics, mapping"),
        ({"prefer": ["nombr=cmms"]}, "asset.nombre"),
        ({"prefer": ["order.nombre=cmms"]}, "order."),
        ({"create_in": "somewhere"}, "cmms, dynamics, both, none"),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_what_is_possible(options: dict[str, object], says: str) -> None:
    with pytest.raises(WrongChoice) as raised:
        choose(MAPPING, **options)  # type: ignore[arg-type]
    assert says in str(raised.value)


def test_a_field_of_one_direction_takes_no_other_winner() -> None:
    asset = MAPPING.entities["asset"]
    one_way = asset.fields["nombre"].model_copy(update={"direction": "to_dynamics"})
    table = MAPPING.model_copy(update={"entities": {"asset": asset.model_copy(update={"fields": {"nombre": one_way}})}})
    with pytest.raises(WrongChoice) as raised:
        choose(table, prefer=["nombre=dynamics"])
    assert "one direction only" in str(raised.value)
    assert choose(table, prefer=["dynamics"]).entities["asset"].prefer == {}


def test_no_side_gets_new_records_that_the_mapping_does_not_create() -> None:
    asset = MAPPING.entities["asset"].model_copy(update={"create_in": frozenset({"dynamics"})})
    table = MAPPING.model_copy(update={"entities": {"asset": asset}})
    assert choose(table, create_in="none").entities["asset"].create_in == frozenset()
    with pytest.raises(WrongChoice) as raised:
        choose(table, create_in="both")
    assert "create_in" in str(raised.value)
