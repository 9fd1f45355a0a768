"""A task's prompts, and where its labels stand in them."""
