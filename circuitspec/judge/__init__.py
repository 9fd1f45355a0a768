"""Estimates to verdicts: paired contrasts, intervals, the verdict rule."""
