"""What all tests share: one thread, so that workers do not get in each other's way."""

from __future__ import annotations

import os

# Before torch is imported anywhere; subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
