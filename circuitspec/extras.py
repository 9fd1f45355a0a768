"""What `pip install circuitspec` leaves out, and what to say where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("torch", "transformer_lens", "transformers", "safetensors", "numpy", "scipy")
INSTALL = "pip install 'circuitspec[verify]'"


def missing_extras(what: str) -> str | None:
    """What to run before `what` can compute with a model; None where all is installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return None
    return f"{what} needs {', '.join(missing)}, which is not installed. Run:\n    {INSTALL}"
