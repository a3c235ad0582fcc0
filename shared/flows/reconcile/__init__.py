"""Drift: records on which the two sides differ although no message is under way. Found here, repaired by the engine."""

from shared.flows.reconcile.checkpoint import BrakeState, brake_of, release_brake
from shared.flows.reconcile.policy import Policy
from shared.flows.reconcile.report import EntityReport, Finding, Report
from shared.flows.reconcile.run import Reconciler

__all__ = [
    "BrakeState",
    "EntityReport",
    "Finding",
    "Policy",
    "Reconciler",
    "Report",
    "brake_of",
    "release_brake",
]
