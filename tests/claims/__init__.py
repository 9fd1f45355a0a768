"""Claims held to their definitions: by hand, by the reference, and on circuits known."""
