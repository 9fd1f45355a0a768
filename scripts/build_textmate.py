"""Write the TextMate grammar of the VS Code extension from the table of tokens."""

from __future__ import annotations

from pathlib import Path

from circuitspec.editors.textmate import grammar_text

TARGET = Path(__file__).parent.parent / "editors/vscode/syntaxes/circuitspec.tmLanguage.json"

if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(grammar_text(), encoding="utf-8")
