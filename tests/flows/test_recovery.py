"""Rule 6: what became of writes whose outcome nobody knows."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ledger import Base, Entry, Intent
from shared.domain.model import CmmsRecord, DynamicsRecord, Value
from shared.domain.recovery import LATEST_CREATE, settle_intents

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def intent(name: str = "1", **more: object) -> Intent:
    """A write of "new" over "old" in Dynamics, under the etag e1."""
    given = {
        "side": "dynamics",
        "expected_etag": "e1",
        "values": {"nombre": "new"},
        "sources": {"nombre": "new"},
        "before": {"nombre": "old"},
        "expires_at": NOW,
    }
    return Intent.model_validate({"id": name, **given, **more})


def entry(*intents: Intent, **more: object) -> Entry:
    given = {"key": "A", "dynamics_id": "r", "bases": {"nombre": Base(cmms="old", dynamics="old")}}
    return Entry.model_validate({**given, "intents": intents, **more})


def row(etag: str, row_id: str = "r", **values: Value) -> DynamicsRecord:
    return DynamicsRecord("A", etag, values, id=row_id)


def test_while_the_etag_is_the_expected_one_the_write_may_yet_land() -> None:
    before = entry(intent())
    assert settle_intents(before, None, row("e1", nombre="old"), NOW) == before


def test_the_intended_value_tells_that_the_write_happened() -> None:
    after = settle_intents(entry(intent()), None, row("e2", nombre="new"), NOW)
    assert (after.bases["nombre"], after.intents, after.conflicts) == (Base(cmms="new", dynamics="new"), (), ())


def test_what_dynamics_made_of_a_value_is_no_edit_where_nobody_has_written_since() -> None:
    after = settle_intents(entry(intent()), None, row("e2", nombre="NEW"), NOW, ours=True)
    assert (after.bases["nombre"], after.intents, after.conflicts) == (Base(cmms="new", dynamics="NEW"), (), ())


def test_our_having_written_last_tells_nothing_of_a_write_that_a_rival_of_ours_may_have_come_before() -> None:
    late = intent("1", values={}, sources={}, before={})
    after = settle_intents(entry(late, intent("2")), None, row("e2", nombre="old"), NOW, ours=True)
    assert (after.bases["nombre"], after.intents) == (Base(cmms="old", dynamics="old"), ())
    again = settle_intents(entry(intent("1"), intent("2")), None, row("e2", nombre="NEW"), NOW, ours=True)
    assert (again.bases["nombre"], again.intents) == (Base(cmms="new", dynamics="NEW"), ())


def test_the_old_value_tells_that_it_did_not_and_what_a_repetition_replaces_is_on_record() -> None:
    after = settle_intents(entry(intent()), None, row("e2", nombre="old"), NOW)
    assert (after.bases["nombre"], after.intents) == (Base(cmms="old", dynamics="old"), ())
    assert [(conflict.won, conflict.lost) for conflict in after.conflicts] == [("new", "old")]


def test_a_write_of_which_most_fields_arrived_happened_and_the_old_value_is_somebodys_edit() -> None:
    new = {"nombre": "new", "numero_de_serie": "S", "valor_libros": "1"}
    old = {"nombre": "old", "numero_de_serie": None, "valor_libros": None}
    held = row("e3", nombre="old", numero_de_serie="S", valor_libros="1")
    after = settle_intents(entry(intent(values=new, sources=new, before=old)), None, held, NOW)
    assert after.bases["nombre"] == Base(cmms="new", dynamics="new")


def test_in_doubt_a_write_did_not_happen_so_that_no_old_value_goes_back_to_the_other_side() -> None:
    new, old = {"nombre": "new", "numero_de_serie": "S"}, {"nombre": "old", "numero_de_serie": None}
    held = row("e3", nombre="old", numero_de_serie="S")
    after = settle_intents(entry(intent(values=new, sources=new, before=old)), None, held, NOW)
    assert after.bases["nombre"] == Base(cmms="old", dynamics="old")
    assert [(conflict.field, conflict.won, conflict.lost) for conflict in after.conflicts] == [("nombre", "new", "old")]


def test_one_value_that_arrived_among_many_that_did_not_is_somebodys_and_the_write_did_not_happen() -> None:
    new = {"nombre": "new", "numero_de_serie": "S", "valor_libros": "1"}
    old = {"nombre": "old", "numero_de_serie": None, "valor_libros": None}
    after = settle_intents(
        entry(intent(values=new, sources=new, before=old)),
        None,
        row("e3", nombre="old", numero_de_serie="S", valor_libros=None),
        NOW,
    )
    assert after.bases == {
        "nombre": Base(cmms="old", dynamics="old"),
        "numero_de_serie": Base(cmms="S", dynamics="S"),
    }


def test_any_other_value_is_an_edit_over_what_was_intended_and_the_loser_is_recorded() -> None:
    after = settle_intents(entry(intent()), None, row("e2", nombre="somebody's"), NOW)
    assert after.bases["nombre"] == Base(cmms="new", dynamics="new")
    assert [(conflict.won, conflict.lost) for conflict in after.conflicts] == [("somebody's", "new")]


def test_of_several_writes_under_one_etag_only_the_one_that_is_seen_counts() -> None:
    first, second = intent("1"), intent("2", values={"nombre": "newer"}, sources={"nombre": "newer"})
    after = settle_intents(entry(first, second), None, row("e2", nombre="new"), NOW)
    assert (after.bases["nombre"], after.conflicts) == (Base(cmms="new", dynamics="new"), ())


def test_of_two_writes_of_which_one_holds_the_others_values_too_all_that_is_seen_is_agreed() -> None:
    less = intent("1")
    more = intent(
        "2",
        values={"nombre": "new", "valor_libros": "2"},
        sources={"nombre": "new", "valor_libros": "2"},
        before={"nombre": "old", "valor_libros": None},
    )
    for rivals in ((less, more), (more, less)):
        after = settle_intents(entry(*rivals), None, row("e2", nombre="new", valor_libros="2"), NOW)
        assert after.bases["valor_libros"] == Base(cmms="2", dynamics="2")
    after = settle_intents(entry(less, more), None, row("e2", nombre="new", valor_libros=None), NOW)
    assert after.bases.get("valor_libros") is None, "the smaller one happened"


def test_of_two_creates_the_one_of_which_more_is_seen_happened_though_a_person_has_edited_the_row_since() -> None:
    less = intent("1", expected_etag=None, row_id="r", values={"nombre": "new"}, sources={"nombre": "new"}, before={})
    values = {"nombre": "new", "numero_de_serie": "S", "valor_libros": "2"}
    more = intent("2", expected_etag=None, row_id="r", values=values, sources=values, before={})
    made = row("e1", nombre="new", numero_de_serie="S", valor_libros="a person's")
    after = settle_intents(entry(less, more), None, made, NOW)
    assert after.bases["valor_libros"] == Base(cmms="2", dynamics="2")


def test_a_created_row_is_known_again_by_the_id_that_it_was_given() -> None:
    create = intent(expected_etag=None, before={}, row_id="r")
    ours = settle_intents(entry(create, bases={}), None, row("e1", "r", nombre="new"), NOW)
    assert ours.bases["nombre"] == Base(cmms="new", dynamics="new")
    anothers = settle_intents(entry(create, bases={}), None, row("e1", "x", nombre="new"), NOW)
    assert (anothers.bases, anothers.intents) == ({}, (create,))
    later = settle_intents(entry(create, bases={}), None, row("e1", "x", nombre="new"), NOW + 2 * LATEST_CREATE)
    assert (later.intents, later.dynamics_id) == ((), None)
    absent = settle_intents(entry(create, bases={}), None, None, NOW)
    assert absent.intents == (create,)


def test_a_record_that_took_the_key_over_tells_nothing_of_writes_to_the_one_before() -> None:
    old = intent(side="cmms")
    before = entry(old, cmms_id="1")
    another = CmmsRecord("A", "e9", {"nombre": "somebody's"}, id="2")
    assert settle_intents(before, another, None, NOW) == before


@given(held=st.sampled_from(["old", "new", "other", None]), etag=st.sampled_from(["e1", "e2"]))
def test_settling_twice_is_settling_once(held: Value, etag: str) -> None:
    once = settle_intents(entry(intent(), intent("2")), None, row(etag, nombre=held), NOW)
    assert settle_intents(once, None, row(etag, nombre=held), NOW) == once


@pytest.mark.parametrize("etag", ["e1", None])
@pytest.mark.parametrize("held", ["new", "old", "somebody's", None])
@pytest.mark.parametrize("taken", [True, False])
def test_a_cmms_record_that_names_its_writes_settles_it_whatever_it_holds_by_now(
    held: Value, etag: str | None, *, taken: bool
) -> None:
    mine = intent("7", side="cmms", expected_etag=etag)
    record = CmmsRecord("A", "e9", {"nombre": held}, operations=frozenset({"6", "7"} if taken else {"6"}))
    after = settle_intents(entry(mine), record, None, NOW)
    expected = Base(cmms="new", dynamics="new") if taken else Base(cmms="old", dynamics="old")
    assert (after.intents, after.bases["nombre"]) == ((), expected)
    # What else it holds by now may be the CMMS's own doing: that is on record.
    assert [one.why for one in after.conflicts] == (["late_write"] if taken and held != "new" else [])
