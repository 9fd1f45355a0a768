"""Where the time of verifying a small spec goes: importing what we stand on, or our own work.

    python bench/startup.py SPEC

Processor seconds of one thread, which other jobs on the machine lengthen little, and the clock's.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Verify a spec in this process, and say what each piece took."""
    if len(arguments) != 1:
        print("usage: python bench/startup.py SPEC")
        return 2
    marks = [(time.process_time(), time.perf_counter())]

    def mark() -> None:
        marks.append((time.process_time(), time.perf_counter()))

    import_module("torch").set_num_threads(1)
    import_module("transformer_lens.model_bridge")
    mark()
    verification = import_module("circuitspec.verification")
    mark()
    result, diagnostics = verification.verify(Path(arguments[0]))
    mark()
    if result is None:
        print("\n".join(d.message for d in diagnostics))
        return 2
    print(result.verdict)
    names = (
        "importing torch and TransformerLens",
        "importing circuitspec",
        "loading and verifying",
    )
    for name, before, after in zip(names, marks, marks[1:], strict=False):
        taken, passed = (b - a for a, b in zip(before, after, strict=True))
        print(f"{name:36} {taken:6.2f} s of processor, {passed:6.2f} s by the clock")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
