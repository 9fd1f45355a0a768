"""Interventions once more by the slow path through TransformerLens, to hold the engine to."""
