"""The machines: one module each, with its weights, its task, and the true story."""
