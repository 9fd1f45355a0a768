"""Highlighting of specs: the table of tokens as a Pygments lexer and as a TextMate grammar."""
