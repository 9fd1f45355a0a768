"""Tests of highlighting and of the editor extensions."""
