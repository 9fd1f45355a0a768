"""Which prompts are computed at once: small layouts side by side, a large one in parts."""

from __future__ import annotations

from collections.abc import Sequence

from circuitspec.engine.plan.layout import Layout

SMALL = 32 << 10
"""Token rows, over all runs, up to which layouts go side by side: alone they would not fill a
product of matrices (`ROWS_AT_ONCE`), for most rows are equal to others or not needed. Beyond it
they do, and side by side would only take more memory."""


def goes(
    layouts: Sequence[Layout], batch_size: int, runs: int, small: int = SMALL
) -> list[tuple[Layout, ...]]:
    """The prompts of `layouts`, at most `batch_size` at once, for so many runs.

    Layouts whose rows of all runs are `small` together go side by side.
    """
    found: list[tuple[Layout, ...]] = []
    together: list[Layout] = []
    prompts = rows = 0
    for layout in layouts:
        count, more = len(layout.rows), token_rows([layout], runs)
        if count > batch_size or more > small:
            parts = range(0, count, batch_size)
            found += [(layout.part(first, first + batch_size),) for first in parts]
            continue
        if prompts + count > batch_size or rows + more > small:
            found.append(tuple(together))
            together, prompts, rows = [], 0, 0
        together.append(layout)
        prompts, rows = prompts + count, rows + more
    if together:
        found.append(tuple(together))
    return found


def token_rows(layouts: Sequence[Layout], runs: int) -> int:
    """The tokens of layouts, once for each run."""
    return runs * sum(int(layout.length.sum()) for layout in layouts)
