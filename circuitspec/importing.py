"""Importing torch and TransformerLens without walking over what they make again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Imports inside take less time, and so does the end of the process.

    They make some millions of objects, which stay. The collector of cycles would look through them
    many times meanwhile, and once more when the process ends: two seconds of a start of five
    (`bench/startup.py`). It is off meanwhile, and what was made is left to it no longer.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
