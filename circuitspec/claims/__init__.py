"""Numbers to estimates: one module a claim, each with the paper's definition."""
