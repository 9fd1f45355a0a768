"""The results made by hand that the other renderers are tried on."""

from __future__ import annotations

from ..report.conftest import awkward, every_verdict, held

__all__ = ["awkward", "every_verdict", "held"]
