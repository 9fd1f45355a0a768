"""Write the generated parts of `docs/reference/language.md`; `--check` only compares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from circuitspec.hypothesis.measures import MEASURES
from circuitspec.language.meanings import FUNCTIONS
from circuitspec.language.tables import grammar_text, tables

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "language.md"
WIDTH = 96

SCALES = {"share": "0 to 1", "nonnegative": "from 0", "any": "any number"}
NEEDS = {
    "run": "changes something",
    "scrub": "has a `scrub`",
    "knockouts": "has `knockouts`",
    "ablation": "says what is cut and what it becomes",
}


def ebnf(grammar: str) -> str:
    """Lark's grammar in the notation of the W3C: without aliases, markers and ignored terminals."""
    rules: list[tuple[str, str]] = []
    for line in grammar.splitlines():
        text = re.sub(r"\s*//.*$", "", line) if not re.match(r"[A-Z]", line) else line
        text = re.sub(r"\s+->\s+\w+$", "", text)
        if not text.strip() or text.startswith("%"):
            continue
        head = re.match(r"[!?]?_?([A-Za-z_]+)(?:\.\d+)?:\s*(.*)", text)
        if head and not text[0].isspace():
            rules.append((head[1], head[2]))
        else:
            name, body = rules.pop()
            rules.append((name, f"{body} {text.strip()}"))
    out = []
    for name, body in rules:
        if name.isupper():
            if name not in tables().ignored:
                out.append(f"{name} ::= {body}")
            continue
        plain = re.sub(r'(?<![\w"])_(\w+)', r"\1", body)
        before = ""
        while plain != before:  # from the innermost brackets outwards
            before = plain
            plain = re.sub(r"\[([^\[\]\"]|\"[^\"]*\")+\]", lambda m: optional(m[0][1:-1]), plain)
        out += wrapped(name, [part.strip() for part in plain.split(" | ")])
    return "\n".join(out)


def optional(inner: str) -> str:
    """`[x]` of the grammar."""
    return f"{inner}?" if re.fullmatch(r'\w+|"[^"]+"', inner) else f"({inner})?"


def wrapped(name: str, alternatives: list[str]) -> list[str]:
    """A rule on one line, or with a line for each few alternatives."""
    lines = [f"{name} ::= {alternatives[0]}"]
    for alternative in alternatives[1:]:
        piece = f" | {alternative}"
        if len(lines[-1]) + len(piece) > WIDTH:
            lines.append(" " * (len(name) + 3) + piece)
        else:
            lines[-1] += piece
    return lines


def measures() -> str:
    """The measures of `require` as a table."""
    lines = ["| measure | value | a claim that | meaning |", "| --- | --- | --- | --- |"]
    for name, measure in MEASURES.items():
        words = measure.argument.replace("nodes", "ROLE").replace("metric", "METRIC")
        written = f"{name}({words.replace('layer', 'LAYER').replace(' and ', ', ')})"
        needs = ", ".join(text for need, text in NEEDS.items() if need in measure.needs) or "any"
        row = (f"`{written}`", SCALES[measure.scale], needs, FUNCTIONS[name])
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its generated parts made anew."""
    reserved = ", ".join(f"`{word}`" for word in sorted(tables().reserved))
    for part, body in (
        ("reserved", reserved),
        ("measures", measures()),
        ("grammar", f"```ebnf\n{ebnf(grammar_text())}\n```"),
    ):
        pattern = re.compile(rf"(<!-- begin {part}: [^>]*-->\n).*?(<!-- end {part} -->)", re.DOTALL)
        text = pattern.sub(lambda m, body=body: f"{m[1]}\n{body}\n\n{m[2]}", text)
    return text


def main() -> int:
    """0 where the page is current or was written, 1 where `--check` finds it stale."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        return 0 if page(text) == text else 1
    PAGE.write_text(page(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
