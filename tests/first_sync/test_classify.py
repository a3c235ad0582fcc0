"""The short way for pairs that agree says what the engine's decision would say."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.decide import Candidate, Snapshot
from shared.domain.link import Link, Stored
from shared.domain.model import BadValue, CmmsRecord, DynamicsRecord, Value
from shared.errors import MappingError
from shared.flows.operate.first_sync.choices import EntityChoices
from shared.flows.operate.first_sync.classify import Kind, Verdict, agree, classify
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORDER = document_mapping().entities["order"]
VALUES: dict[str, tuple[list[Value], list[Value]]] = {
    "justificacion": (["a", "b", None], ["a", "b", None]),
    "total": (["1", "2", None], ["1", "2", None]),
    "estado": (["BORRADOR", "PENDIENTE", "VISTO_PROCURA"], ["1", "2", "3"]),
}
BAD = BadValue(MappingError("bad", field="total"), "digest")


def held(side: int) -> st.SearchStrategy[dict[str, Value]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(both[side]) for name, both in VALUES.items()})


@given(held(0), held(1), st.booleans(), st.booleans())
def test_a_pair_that_agrees_is_one_of_which_a_decision_writes_nothing(
    cmms: dict[str, Value], dynamics: dict[str, Value], is_open: bool, is_bad: bool
) -> None:
    record = CmmsRecord("R-1", '"1"', cmms, {"total": BAD} if is_bad else {}, id="1")
    row = DynamicsRecord("R-1", 'W/"1"', dynamics, id="r", state=0, is_open=is_open)
    link = Link(cmms_id="1", key="R-1")
    snapshot = Snapshot(Stored(link=link), link, cmms=record, candidates=(Candidate(row),))
    verdict = classify(ORDER, snapshot, EntityChoices(), NOW)
    assert agree(ORDER, record, row) is (verdict == Verdict(Kind.EQUAL))
