"""The mapping's edits: each is one that the functions start with, and that says what the checker believes."""

from itertools import pairwise

from shared.domain.schema.mapping import parse_mapping
from tests.attack.mapping_edits import EDITS, Rules


def test_each_edit_gives_a_mapping_with_the_columns_that_are_compared() -> None:
    rules = Rules()
    texts = [rules.text()]
    for edit in EDITS.values():
        edit(rules)
        texts.append(rules.text())
        mapping = parse_mapping(rules.text(), "edited.toml")
        mapped = {
            entity: {name: rule.column for name, rule in table.fields.items() if name != "fecha_creacion"}
            for entity, table in mapping.entities.items()
        }
        assert mapped == rules.columns
    assert all(one != other for one, other in pairwise(texts))


def test_an_edit_changes_what_it_names() -> None:
    rules = Rules()
    for name in ("a choice corrected", "another scale and another type"):
        EDITS[name](rules)
    asset, order = (parse_mapping(rules.text(), "edited.toml").entities[name] for name in ("asset", "order"))
    assert (asset.fields["valor_libros"].scale, asset.fields["fecha_adquisicion"].type) == (3, "string")
    assert order.fields["estado"].to_dynamics_choices["SOLICITUD_INFORMACION"].status == 690970000
