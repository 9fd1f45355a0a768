"""Verdicts to people: one small renderer an output."""
