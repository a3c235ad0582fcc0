"""Rule 3 as a table: docs/architecture.md, "Merge of one field"."""

from datetime import UTC, datetime

import pytest

from shared.domain.base import NEWS, Base
from shared.domain.merge import Verdict, judge, merge
from shared.domain.model import CmmsRecord, DynamicsRecord, Side, Value
from shared.domain.schema.fields import FieldMapping
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BOTH = FieldMapping(name="f", column="f", type="string")
BOTH_DYNAMICS = BOTH.model_copy(update={"on_conflict": "dynamics"})
TO_DYNAMICS = FieldMapping(name="f", column="f", type="string", direction="to_dynamics")
TO_CMMS = FieldMapping(name="f", column="f", type="string", direction="to_cmms")
ASSET = document_mapping().entities["asset"]

AGREED = Base(cmms="a", dynamics="a")
ROUNDED = Base(cmms="a", dynamics="A")
UNCLEAR = Base(cmms="b", dynamics="a", unclear="dynamics", why="late_write")
OF_ANOTHER = Base(cmms=NEWS, dynamics="a", why="taken_over")

TABLE = [
    # id, rule, base, CMMS, Dynamics, outcome, why
    ("first contact, equal", BOTH, None, "a", "a", "agreed", None),
    ("first contact, both empty", BOTH, None, None, None, "agreed", None),
    ("first contact, only the CMMS has a value", BOTH, None, "a", None, "cmms", None),
    ("first contact, only Dynamics has a value", BOTH, None, None, "b", "dynamics", None),
    ("first contact, different, the CMMS's rule", BOTH, None, "a", "b", "cmms", "first_contact"),
    ("first contact, different, Dynamics' rule", BOTH_DYNAMICS, None, "a", "b", "dynamics", "first_contact"),
    ("first contact, one-way, different", TO_DYNAMICS, None, "a", "b", "cmms", "first_contact"),
    ("first contact, one-way, the source is empty", TO_DYNAMICS, None, None, "b", "kept", "first_contact"),
    ("first contact, one-way to the CMMS, the source is empty", TO_CMMS, None, "a", None, "kept", "first_contact"),
    ("nobody changed", BOTH, AGREED, "a", "a", "unchanged", None),
    ("nobody changed, the bases differ by rounding", BOTH, ROUNDED, "a", "A", "unchanged", None),
    ("nobody changed what is unclear", BOTH, UNCLEAR, "b", "a", "unchanged", None),
    ("what was unclear is the same by now", BOTH, UNCLEAR, "b", "b", "agreed", None),
    ("the CMMS changed what was unclear", BOTH, UNCLEAR, "c", "a", "cmms", "late_write"),
    ("Dynamics changed what was unclear", BOTH, UNCLEAR, "b", "c", "dynamics", "late_write"),
    ("a person insists on what is unclear", BOTH, UNCLEAR.as_news, "b", "a", "cmms", "late_write"),
    ("the CMMS changed", BOTH, AGREED, "b", "a", "cmms", None),
    ("the CMMS cleared", BOTH, AGREED, None, "a", "cmms", None),
    ("Dynamics changed", BOTH, AGREED, "a", "b", "dynamics", None),
    ("Dynamics cleared", BOTH, AGREED, "a", None, "dynamics", None),
    ("both changed to the same", BOTH, AGREED, "b", "b", "agreed", None),
    ("both cleared", BOTH, AGREED, None, None, "agreed", None),
    ("both changed, the CMMS's rule", BOTH, AGREED, "b", "c", "cmms", "both_changed"),
    ("both changed, Dynamics' rule", BOTH_DYNAMICS, AGREED, "b", "c", "dynamics", "both_changed"),
    ("one-way, the source changed", TO_DYNAMICS, AGREED, "b", "a", "cmms", None),
    ("one-way, the target was edited", TO_DYNAMICS, AGREED, "a", "b", "cmms", "one_way"),
    ("one-way, both changed", TO_DYNAMICS, AGREED, "b", "c", "cmms", "both_changed"),
    ("one-way to the CMMS, the target was edited", TO_CMMS, AGREED, "b", "a", "dynamics", "one_way"),
    ("another record's row, different", BOTH, OF_ANOTHER, "b", "a", "cmms", "taken_over"),
    ("another record's row, equal", BOTH, OF_ANOTHER, "a", "a", "agreed", None),
    ("another record's row, edited since", BOTH_DYNAMICS, OF_ANOTHER, "b", "c", "dynamics", "both_changed"),
    ("another record's row, only Dynamics may set the field", TO_CMMS, OF_ANOTHER, "b", "a", "dynamics", "one_way"),
]


PREFERRED = [
    # id, rule, base, CMMS, Dynamics, the operator's choice, outcome, why
    ("different, Dynamics is chosen", BOTH, None, "a", "b", "dynamics", "dynamics", "first_contact"),
    ("different, the CMMS is chosen", BOTH_DYNAMICS, None, "a", "b", "cmms", "cmms", "first_contact"),
    ("equal", BOTH, None, "a", "a", "dynamics", "agreed", None),
    ("the chosen side is empty", BOTH, None, "a", None, "dynamics", "cmms", None),
    ("the chosen side may not set the field", TO_DYNAMICS, None, "a", "b", "dynamics", "cmms", "first_contact"),
    ("both changed since they agreed", BOTH, AGREED, "b", "c", "dynamics", "cmms", "both_changed"),
]


@pytest.mark.parametrize(
    ("rule", "base", "cmms", "dynamics", "prefer", "outcome", "why"),
    [row[1:] for row in PREFERRED],
    ids=[row[0] for row in PREFERRED],
)
def test_an_operator_s_choice_decides_at_first_contact_only(
    rule: FieldMapping, base: Base | None, cmms: Value, dynamics: Value, prefer: Side, outcome: str, why: str | None
) -> None:
    assert judge(rule, cmms, dynamics, base, prefer) == Verdict(outcome, why)  # type: ignore[arg-type]


RESTORED = [
    # id, rule, base, CMMS, Dynamics, the side that was not restored, outcome, why
    ("Dynamics was restored", BOTH_DYNAMICS, AGREED, "a", "old", "cmms", "cmms", "restored"),
    ("the CMMS was restored", BOTH, AGREED, "old", "a", "dynamics", "dynamics", "restored"),
    ("both differ from their bases", BOTH, AGREED, "b", "old", "cmms", "cmms", "restored"),
    ("the side that counts is empty", BOTH, AGREED, None, "old", "cmms", "cmms", "restored"),
    ("the restored side is empty", BOTH, AGREED, "a", None, "cmms", "cmms", "restored"),
    ("only the restored side may set the field", TO_DYNAMICS, AGREED, "old", "a", "dynamics", "dynamics", "restored"),
    ("the restore took nothing back", BOTH, AGREED, "a", "a", "cmms", "unchanged", None),
    ("the restore took nothing back, rounded", BOTH, ROUNDED, "a", "A", "cmms", "unchanged", None),
    ("both hold the same", BOTH, AGREED, "b", "b", "cmms", "agreed", None),
    ("they never met, one is empty", BOTH, None, None, "b", "cmms", "dynamics", None),
    ("they never met, both have a value", BOTH_DYNAMICS, None, "a", "b", "cmms", "cmms", "first_contact"),
]


@pytest.mark.parametrize(
    ("rule", "base", "cmms", "dynamics", "counting", "outcome", "why"),
    [row[1:] for row in RESTORED],
    ids=[row[0] for row in RESTORED],
)
def test_the_side_that_was_not_restored_counts_whatever_the_direction(
    rule: FieldMapping, base: Base | None, cmms: Value, dynamics: Value, counting: Side, outcome: str, why: str | None
) -> None:
    expected = Verdict(outcome, why)  # type: ignore[arg-type]
    assert judge(rule, cmms, dynamics, base, counting, restored=True) == expected


@pytest.mark.parametrize(
    ("rule", "base", "cmms", "dynamics", "outcome", "why"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_merge_of_one_field(
    rule: FieldMapping, base: Base | None, cmms: Value, dynamics: Value, outcome: str, why: str | None
) -> None:
    verdict = judge(rule, cmms, dynamics, base)
    assert (verdict.outcome, verdict.why) == (outcome, why)


def record(**values: Value) -> CmmsRecord:
    return CmmsRecord("A", '"1"', values, id="1")


def row(*, is_open: bool = True, **values: Value) -> DynamicsRecord:
    return DynamicsRecord("A", 'W/"1"', values, id="r", is_open=is_open)


def test_a_field_that_one_side_does_not_say_is_neither_a_change_nor_an_agreement() -> None:
    merged = merge(ASSET.fields.values(), record(nombre="a"), row(valor_libros="1"), {}, NOW, key=ASSET.key.name)
    assert (merged.bases, merged.writes, merged.conflicts, merged.blocked) == ({}, (), (), ())


def test_the_loser_of_a_conflict_is_on_record() -> None:
    merged = merge(ASSET.fields.values(), record(nombre="a"), row(nombre="b"), {}, NOW, key=ASSET.key.name)
    (conflict,) = merged.conflicts
    assert (conflict.field, conflict.winner, conflict.won, conflict.lost) == ("nombre", "cmms", "a", "b")
    (write,) = merged.writes
    assert (write.side, write.value, write.source, write.before) == ("dynamics", "a", "a", "b")


def test_a_closed_row_blocks_the_field_that_would_change() -> None:
    merged = merge(
        ASSET.fields.values(), record(nombre="a"), row(is_open=False, nombre="b"), {}, NOW, key=ASSET.key.name
    )
    assert [(block.field, block.error.reason) for block in merged.blocked] == [("nombre", "record_closed")]
    assert merged.writes == ()


def test_a_field_that_can_only_be_set_on_creation_keeps_the_row_s_value() -> None:
    order = document_mapping().entities["order"]
    name = next(rule.name for rule in order.fields.values() if rule.create_only)
    merged = merge(
        order.fields.values(),
        CmmsRecord("A", '"1"', {name: "2026-01-02T00:00:00Z"}, id="1"),
        DynamicsRecord("A", 'W/"1"', {name: "2026-01-01T00:00:00Z"}, id="r"),
        {},
        NOW,
        key=order.key.name,
    )
    assert (merged.writes, [conflict.why for conflict in merged.conflicts]) == ((), ["create_only"])
    assert merged.bases[name] == Base(
        cmms="2026-01-02T00:00:00Z", dynamics="2026-01-01T00:00:00Z", rule=order.fields[name].fingerprint
    )
