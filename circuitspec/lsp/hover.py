"""What is said of the word under the pointer, in Markdown."""

from __future__ import annotations

from circuitspec.hypothesis.records import Hypothesis, Role
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.language.lexer import Tokens, tokenize
from circuitspec.language.meanings import FUNCTIONS, PLACES, meaning
from circuitspec.language.names import node_named
from circuitspec.language.nodes import Head, Mlp
from circuitspec.language.printer import print_statement
from circuitspec.language.wording import FORMS
from circuitspec.lsp.documents import Document
from circuitspec.lsp.symbols import Symbol


def hover(doc: Document, offset: int) -> tuple[str, Span] | None:
    """What stands at a place, and the span that it is said of."""
    occurrence = doc.index.at(offset)
    if occurrence is not None:
        return _symbol(doc, occurrence.symbol, offset), occurrence.span
    tokens = tokenize(doc.text, doc.path)
    at = token_at(tokens, offset)
    if at is None:
        return None
    text = tokens.text(at)
    said = _node(doc, text) or _word(tokens, at)
    return None if said is None else (said, tokens.span(at, at))


def token_at(tokens: Tokens, offset: int) -> int | None:
    """The token that covers a place, the later one where two touch."""
    for at in range(len(tokens.starts) - 2, -1, -1):
        if tokens.starts[at] <= offset <= tokens.ends[at]:
            return at
        if tokens.ends[at] < offset:
            return None
    return None


def _symbol(doc: Document, symbol: Symbol, offset: int) -> str:
    statement = doc.declaration(symbol, offset)
    if statement is None:
        return f"{symbol.kind} `{symbol.name}`"
    if isinstance(statement, syntax.Hypothesis | syntax.Task | syntax.Expect | syntax.Protocol):
        shown = f"```circuitspec\n{_heading(statement)}\n```"
        return f"{shown}\n\n{statement.doc}" if statement.doc else shown
    shown = f"```circuitspec\n{print_statement(statement)}\n```"
    hypothesis = doc.hypothesis_at(offset)
    if hypothesis is None:
        return shown
    if symbol.name in hypothesis.groups and symbol.kind == "role":
        members = hypothesis.groups[symbol.name]
        heads = sum(len(hypothesis.roles[m].nodes) for m in members if m in hypothesis.roles)
        return f"{shown}\n\n{len(members)} roles, {_count(heads, 'node')}"
    role = hypothesis.roles.get(symbol.name) if symbol.kind == "role" else None
    return shown if role is None else f"{shown}\n\n{_role(role, hypothesis)}"


def _heading(statement: syntax.Located) -> str:
    return print_statement(statement).split("{")[0].rstrip().split("\n")[-1]


def _role(role: Role, hypothesis: Hypothesis) -> str:
    """Its nodes, where they live, what feeds them and what they feed."""
    lines = [f"{_count(len(role.nodes), 'node')}: {', '.join(map(str, role.nodes))}"]
    for place in role.places:
        keys = f", attending {', '.join(map(str, place.keys))}" if place.keys else ""
        lines.append(f"at {place.query}{keys}")
    if role.carries:
        lines.append(f"carries {', '.join(expression_text(f) for f in role.carries)}")
    fed = [f"{e.sender} ({len(e.edges)})" for e in hypothesis.edges if e.receiver == role.name]
    read = [f"{e.receiver} ({len(e.edges)})" for e in hypothesis.edges if e.sender == role.name]
    lines.append(f"edges from {', '.join(fed) or 'nothing'}; to {', '.join(read) or 'nothing'}")
    return "  \n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _node(doc: Document, text: str) -> str | None:
    """A head or MLP written out: which it is, and whose."""
    node = node_named(text)
    if not isinstance(node, Head | Mlp):
        return None
    what = (
        f"head {node.index} of layer {node.layer}"
        if isinstance(node, Head)
        else (f"the MLP of layer {node.layer}")
    )
    roles = [
        f"{role.name} ({hypothesis.name})"
        for hypothesis in doc.hypotheses
        for role in hypothesis.roles.values()
        if node in role.nodes
    ]
    return f"`{node}`: {what}" + (f"; in {', '.join(roles)}" if roles else "")


def _word(tokens: Tokens, at: int) -> str | None:
    """A keyword or function; a word before a bracket is a function where it can be one."""
    word = tokens.text(at)
    called = at + 1 < len(tokens.kind) and tokens.kind[at + 1] == "LPAR"
    if called and word in FUNCTIONS:
        return f"**{word}**(...): {FUNCTIONS[word]}"
    if tokens.kind[at] not in ("NAME", "DOTTED"):
        return None
    said = meaning(word) if tokens.keyword[at] or word in PLACES or word in FUNCTIONS else None
    if said is None:
        return None
    form = FORMS.get(word) if tokens.is_first_on_line(at) else None
    return f"**{word}**: {said}" + (f"\n\n```circuitspec\n{form}\n```" if form else "")
