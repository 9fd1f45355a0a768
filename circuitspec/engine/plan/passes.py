"""Which passes of the compiler are on. Every one of them keeps every value; they save work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """`fold`: what is computed from the base run's values alone is the base run's value.
    `share`: equal instances are one. `drop`: what no reading depends on is not computed.
    `rows`: rows of equal template, position and token are one, where no head has written."""

    fold: bool = True
    share: bool = True
    drop: bool = True
    rows: bool = True


ALL = Passes()
NONE = Passes(fold=False, share=False, drop=False, rows=False)
