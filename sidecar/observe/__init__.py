"""Observation: ledger, health, log, figures and the admin server."""
