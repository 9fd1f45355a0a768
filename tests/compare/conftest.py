"""What these tests share: `proving` importable from anywhere, and one comparison computed once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from circuitspec.comparing.compare import compare
from circuitspec.comparing.records import Comparison

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

RIVALS = ("only_suppression", "wrong_positions", "literature")
FILES = [
    ROOT / "specs" / f"{name}.circuit"
    for name in ("ioi_mini", *(f"ioi_mini_{rival}" for rival in RIVALS))
]


@pytest.fixture(scope="session")
def result() -> Comparison:
    """The packaged model's spec against its three rivals."""
    found, diagnostics = compare(FILES)
    assert found is not None, diagnostics
    return found
