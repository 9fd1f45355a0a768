"""The executor of a plan: all runs of a call at once, every distinct instance once."""
