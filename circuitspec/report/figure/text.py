"""How wide text will be, guessed without a font, and broken into lines.

A figure is laid out before it is known what font it will be shown in, so the guesses are those of
wide faces; a narrower one leaves some air.
"""

from __future__ import annotations

import unicodedata

MONO = 0.61
"""Advance of a fixed-width face, in ems."""
SANS = 0.55
BOLD = 0.61
_NARROW = frozenset("iljtfrI.,;:'|!()[]{} ")


def width(text: str, size: float, *, em: float = SANS) -> float:
    """Pixels that a text takes at a font size."""
    return sum(_advance(c, em) for c in text) * size


def _advance(character: str, em: float) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if em != MONO and character in _NARROW:
        return em * 0.6
    return em * 1.25 if em != MONO and (character.isupper() or character in "mw@%") else em


def wrapped(text: str, room: float, size: float, *, most: int = 3) -> tuple[str, ...]:
    """The text in lines no wider than `room` pixels; what does not fit into `most` is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and width(longer, size) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return tuple(cut(line, room, size) for line in lines)


def cut(text: str, room: float, size: float, *, em: float = SANS) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if width(text, size, em=em) <= room:
        return text
    while text and width(text + "…", size, em=em) > room:
        text = text[:-1]
    return text.rstrip() + "…"
