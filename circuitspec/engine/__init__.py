"""Hypothesis to numbers: the runs a claim asks for, and how they are computed."""
