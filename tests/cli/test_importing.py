"""How the commands import what is large: without the collector, once, and leaving garbage alone."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from pathlib import Path

import circuitspec
from circuitspec.importing import importing

FACES = Path(circuitspec.__file__).parent
HEAVY = re.compile(r"^( *)(.*)# torch: seconds$", re.MULTILINE)


class Knot:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_imported_first_is_not_walked_over_again() -> None:
    code = """
import gc, sys
from circuitspec.importing import importing
for collects in (True, False):
    sys.modules.pop("torch", None)
    (gc.enable if collects else gc.disable)()
    before = gc.get_freeze_count()
    try:
        with importing():
            assert not gc.isenabled()
            import no_such_module
    except ImportError:
        pass
    assert gc.isenabled() is collects
    assert gc.get_freeze_count() > before
    gc.unfreeze()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_garbage_of_earlier_work_is_still_collected() -> None:
    import torch  # noqa: F401  # as after an earlier command

    knot = Knot()
    gone = weakref.ref(knot)
    del knot
    with importing():
        pass
    gc.collect()
    assert gone() is None


def test_every_face_imports_torch_so() -> None:
    found = 0
    for path in (*(FACES / "cli").glob("*.py"), FACES / "pytest_plugin.py"):
        text = path.read_text(encoding="utf-8")
        for match in HEAVY.finditer(text):
            above = text[: match.start()].rstrip().rsplit("\n", 1)[-1]
            assert above.strip() == "with importing():", f"{path.name}: {match[2]}"
            found += 1
    assert found >= 6
