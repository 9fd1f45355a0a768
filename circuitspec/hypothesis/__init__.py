"""Syntax tree to meaning: resolved names, the graph, its edges, and the checks that need no weights."""
