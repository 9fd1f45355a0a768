"""What an author who misspelt a name probably meant."""

from __future__ import annotations

from collections.abc import Iterable

MOST_GUESSED = 50
"""Unknown names of a file for which the nearest known one is sought. Seeking compares each with all
that there are; whoever has more of them has lost a declaration, and not misspelt a name."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like a name, or None where none is near."""
    from difflib import get_close_matches  # only mistakes pay for importing it

    lowered = {n.lower(): n for n in known}
    # Of a name of two letters, one wrong is half of it.
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5 if len(name) < 3 else 0.6)
    return lowered[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint that names the nearest known name, or `otherwise` where none is near."""
    near = nearest(name, known)
    return otherwise if near is None else f"did you mean `{near}`?"


def listing(names: Iterable[str], *, most: int = 8) -> str:
    """Names for a message: `a`, `b`, `c` and 12 more."""
    shown = list(dict.fromkeys(names))
    text = ", ".join(f"`{n}`" for n in shown[:most])
    return f"{text} and {len(shown) - most} more" if len(shown) > most else text
