"""Syntax tree to meaning: resolved names, the graph, its edges, and what text alone can check."""
