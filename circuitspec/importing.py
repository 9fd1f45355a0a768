"""Importing torch and TransformerLens without walking over what they make again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Imports inside take less time, and so does the end of the process.

    They make some millions of objects, which stay. The collector of cycles would look through them
    many times meanwhile, and once more when the process ends: of a start of five seconds these were
    two. It is off meanwhile, and what was made is left to it no longer.

    Where torch is imported already nothing is done: what has been made since may well be garbage.
    """
    if "torch" in sys.modules:
        yield
        return
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
