"""What to do about one record. Pure: a snapshot and a context in, a plan or a reason to wait out."""

from shared.domain.decide.decide import decide, foresee
from shared.domain.decide.plan import Decision, Plan, Wait
from shared.domain.decide.situation import Candidate, Context, Snapshot

__all__ = ["Candidate", "Context", "Decision", "Plan", "Snapshot", "Wait", "decide", "foresee"]
