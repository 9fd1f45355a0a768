"""Write `circuitspec/language/grammar.json` from `grammar.lark`; `--check` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from circuitspec.language.tables import TABLES, grammar_text, to_json

TARGET = Path(__file__).parent.parent / "circuitspec" / "language" / TABLES


def main() -> int:
    """0 where the tables are current or were written, 1 where `--check` finds them stale."""
    text = json.dumps(to_json(grammar_text()), separators=(",", ":")) + "\n"
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
