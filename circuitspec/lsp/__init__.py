"""The language server: what the checker, the formatter and the tables know, as an editor asks."""
