"""Rival hypotheses on the same prompts: what tells them apart, and which differences decide."""
