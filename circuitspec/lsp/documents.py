"""One open file: its text, what the checker found, and its names, made once for each version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from circuitspec.hypothesis.files import confined
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.resolve import resolve
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.language.parser import parse, parse_file
from circuitspec.lsp.symbols import Index, Kind, Symbol, index

_DECLARED: dict[type, Kind] = {
    syntax.Task: "task",
    syntax.Words: "words",
    syntax.Protocol: "protocol",
    syntax.Hypothesis: "hypothesis",
    syntax.Role: "role",
    syntax.Group: "role",
    syntax.Slot: "label",
    syntax.PositionDeclaration: "label",
    syntax.Metric: "metric",
    syntax.Baseline: "baseline",
    syntax.Table: "table",
    syntax.Template: "template",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text with its tree, its names, and its hypotheses as far as they resolve."""

    path: str
    text: str
    tree: syntax.SpecFile
    index: Index
    hypotheses: tuple[Hypothesis, ...]

    def hypothesis_at(self, offset: int) -> Hypothesis | None:
        """The hypothesis that a place lies in."""
        return next((h for h in self.hypotheses if h.span.start <= offset < h.span.end), None)

    def declaration(self, symbol: Symbol, near: int = 0) -> syntax.Located | None:
        """The statement that declares a symbol; of several the last that begins before `near`."""
        places = [o.span.start for o in self.index.declarations(symbol)]
        before = [place for place in places if place <= near] or places
        for statement in statements(self.tree):
            if before and any(n.span.start == before[-1] for n in _names(statement)):
                return statement
        return None


def document(path: str, text: str) -> Document:
    """All of a file but its diagnostics, which take longer (`loading.load_spec`)."""
    tree, _ = parse(text, path)
    hypotheses, _ = resolve(tree, base_dir=Path(path).parent)
    return Document(path=path, text=text, tree=tree, index=index(tree, text), hypotheses=hypotheses)


def imported(doc: Document, name: str, kinds: tuple[Kind, ...]) -> Span | None:
    """Where a name that this file does not declare is declared, in the files that it uses."""
    root = Path(doc.path).parent.resolve()
    return _imported(doc.tree, root, root, name, kinds, frozenset())


def _imported(
    tree: syntax.SpecFile,
    folder: Path,
    root: Path,
    name: str,
    kinds: tuple[Kind, ...],
    seen: frozenset[Path],
) -> Span | None:
    for use in tree.statements:
        if not isinstance(use, syntax.Use):
            continue
        target = confined(use.path.value, folder, root)
        if target is None or target in seen or not target.is_file():
            continue
        other, _ = parse_file(target)
        for declared in statements(other):
            if _DECLARED.get(type(declared)) in kinds:
                for named in _names(declared):
                    if named.text == name:
                        return named.span
        found = _imported(other, target.parent, root, name, kinds, seen | {target})
        if found is not None:
            return found
    return None


def statements(node: syntax.SpecFile | syntax.Located) -> Iterator[syntax.Located]:
    """Every statement of a file, blocks before what they hold."""
    match node:
        case syntax.SpecFile() | syntax.Hypothesis():
            inner: tuple[syntax.Located, ...] = node.statements
        case syntax.Task():
            inner = node.statements or ()
        case _:
            return
    for statement in inner:
        yield statement
        yield from statements(statement)


def _names(statement: syntax.Located) -> tuple[syntax.Name, ...]:
    """The names that a statement declares."""
    names = getattr(statement, "names", None) or (getattr(statement, "name", None),)
    return tuple(n for n in names if isinstance(n, syntax.Name))
