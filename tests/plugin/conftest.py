"""The results made by hand that the renderers are tried on."""

from __future__ import annotations

from ..report.conftest import every_verdict

__all__ = ["every_verdict"]
