"""Tests of the circuit figure."""
