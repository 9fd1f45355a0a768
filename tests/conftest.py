"""What all tests share: one thread, so that workers do not get in each other's way."""

from __future__ import annotations

import os

from hypothesis import settings

# Before torch is imported anywhere; subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# What decides whether a commit lands tries the same examples each time; new ones are looked for
# apart from it, with `--hypothesis-profile=explore` and as many rounds as there is time for.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", database=None, deadline=None, print_blob=True)
settings.load_profile("repeatable")
