"""Reconciliation at a million records."""
