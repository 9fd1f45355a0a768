"""What an author who misspelt a name probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint that names the nearest known name, or `otherwise` where none is near."""
    from difflib import get_close_matches  # only mistakes pay for importing it

    names = list(dict.fromkeys(known))
    lowered = {n.lower(): n for n in names}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"did you mean `{lowered[near[0]]}`?" if near else otherwise


def listing(names: Iterable[str], *, most: int = 8) -> str:
    """Names for a message: `a`, `b`, `c` and 12 more."""
    shown = list(dict.fromkeys(names))
    text = ", ".join(f"`{n}`" for n in shown[:most])
    return f"{text} and {len(shown) - most} more" if len(shown) > most else text
