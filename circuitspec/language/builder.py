"""Productions of the grammar → records of the syntax tree, one method a rule."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, cast

from circuitspec.language import syntax as s
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Label, Span
from circuitspec.language.lexer import Tokens
from circuitspec.language.nodes import INPUT, LOGITS, Channel, Head, HeadIndex, Layer, Mlp
from circuitspec.language.tables import tables

MAX_DEPTH = 64
"""How deep expressions may nest: no metric comes near it, and no later pass runs out of stack."""

NODE_FUNCTIONS = frozenset(
    {
        "attention",
        "copying",
        "dla",
        "duplicate_token",
        "effect",
        "induction",
        "previous_token",
    }
)
"""Functions whose arguments are nodes: there, `9.10` is the head a9.h10."""

CHANNELS: dict[str, tuple[Channel, ...]] = {
    "q": ("q",),
    "k": ("k",),
    "v": ("v",),
    "qk": ("q", "k"),
    "qv": ("q", "v"),
    "kv": ("k", "v"),
    "qkv": ("q", "k", "v"),
    "in": ("in",),
}

_HEAD = re.compile(r"a([0-9]+)\.h([0-9]+)|L([0-9]+)H([0-9]+)|([0-9]+)\.([0-9]+)")
_MLP = re.compile(r"m([0-9]+)")
_NEARLY_HEAD = re.compile(r"[aAlL]?([0-9]+)[._]?[hH]([0-9]+)|[aAlL]([0-9]+)\.([0-9]+)")
_NEARLY_MLP = re.compile(r"(?:M|mlp|MLP|mlp_|mlp\.)([0-9]+)|m0+([0-9]+)")
_ESCAPE = re.compile(r"\\(u\{[0-9A-Fa-f]{1,6}\}|.)", re.DOTALL)
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r"}

Node = Head | Mlp


def node_named(text: str) -> s.NodeLiteral | None:
    """The node that a word writes out (`9.10`, `L9H10`, `a9.h10`, `m3`, `input`), if it is one."""
    if text == "input":
        return s.NodeLiteral(node=INPUT)
    if text == "logits":
        return s.NodeLiteral(node=LOGITS)
    if found := _MLP.fullmatch(text):
        return _literal(None, found[1])
    if found := _HEAD.fullmatch(text):
        layer, index = (part for part in found.groups() if part is not None)
        return _literal(layer, index)
    return None


def _literal(layer: str | None, number: str) -> s.NodeLiteral | None:
    """A head (or, without a layer, an MLP); leading zeros and absurd numbers are none."""
    for digits in (layer or "0", number):
        if len(digits) > 6 or (len(digits) > 1 and digits[0] == "0"):
            return None
    if layer is None:
        return s.NodeLiteral(node=Mlp(Layer(int(number))))
    return s.NodeLiteral(node=Head(Layer(int(layer)), HeadIndex(int(number))))


def near_node(text: str) -> str | None:
    """What a word that is no node was probably meant for: `A9H9`, `9h9`, `mlp3`, `a09.h9`."""
    if found := _NEARLY_HEAD.fullmatch(text) or _HEAD.fullmatch(text):
        layer, index = (part for part in found.groups() if part is not None)
        if len(layer) < 7 and len(index) < 7:
            return f"a{int(layer)}.h{int(index)}"
    if found := _NEARLY_MLP.fullmatch(text):
        number = found[1] or found[2]
        if len(number) < 7:
            return f"m{int(number)}"
    return None


def clean_doc(text: str) -> str:
    """A docstring without the indentation of its file and the blank space around it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    lines = [line.rstrip() for line in inspect.cleandoc(text).split("\n")]
    return "\n".join(lines).strip()


Clause = tuple[str, Any, int, int]
"""A part of a statement: its name, its value, its first and last token."""


class Builder:
    """Makes the tree. Children are tokens (their index) or what other rules made."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.diagnostics: list[Diagnostic] = []
        self.depths: dict[int, int] = {}
        self.too_deep_reported = False

    # ── helpers ──────────────────────────────────────────────────────────────────────────────

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        hint: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """Note a mistake found while building."""
        self.diagnostics.append(
            Diagnostic(code=code, message=message, span=span, hint=hint, labels=labels)
        )

    def string(self, token: int) -> s.Text:
        """A string literal, unescaped."""
        raw = self.tokens.text(token)
        span = self.tokens.span(token, token)
        if token in self.tokens.broken:
            return s.Text(value=raw[1:], span=span)
        return s.Text(value=self.unescape(raw[1:-1], self.tokens.starts[token] + 1), span=span)

    def unescape(self, raw: str, start: int) -> str:
        """`\\"`, `\\\\`, `\\n`, `\\t`, `\\r`, `\\u{E9}`; anything else after `\\` is a mistake."""
        if "\\" not in raw:
            return raw

        def value(found: re.Match[str]) -> str:
            escape = found[1]
            if escape in _ESCAPES:
                return _ESCAPES[escape]
            if len(escape) > 1:
                code = int(escape[2:-1], 16)
                if code < 0x110000 and not 0xD800 <= code < 0xE000:
                    return chr(code)
            self.report(
                "C013",
                f"`\\{escape}` is not an escape",
                self.tokens.place(start + found.start(), start + found.end()),
                'escapes are `\\"`, `\\\\`, `\\n`, `\\t`, `\\r` and `\\u{E9}`; '
                "a backslash itself is written `\\\\`",
            )
            return found[0]

        return _ESCAPE.sub(value, raw)

    def doc(self, token: int | None) -> str | None:
        """The docstring of a block."""
        if token is None:
            return None
        raw = self.tokens.text(token)
        return clean_doc(self.unescape(raw[3:-3], self.tokens.starts[token] + 3))

    def whole(self, token: int, least: int = 0) -> int:
        """An integer as written."""
        text = self.tokens.text(token)
        if token in self.tokens.broken:
            return least
        if not text.isdigit() or len(text) > 15:
            self.report(
                "C010",
                f"a whole number is needed here, not `{text[:40]}`",
                self.tokens.span(token, token),
            )
            return least
        if int(text) < least:
            self.report(
                "C010",
                f"this number must be at least {least}",
                self.tokens.span(token, token),
            )
            return least
        return int(text)

    def nested(self, node: Any, *children: Any) -> Any:
        """The node itself, unless it nests too deep for the passes to come."""
        depth = 1 + max((self.depths.get(id(child), 1) for child in children), default=0)
        if depth > MAX_DEPTH:
            if not self.too_deep_reported:
                self.report(
                    "C019",
                    f"this expression nests more than {MAX_DEPTH} deep",
                    node.span,
                    "give parts of it names of their own, as slots or metrics",
                )
                self.too_deep_reported = True
            return s.Number(text="0", span=node.span)
        self.depths[id(node)] = depth
        return node

    # ── file ─────────────────────────────────────────────────────────────────────────────────

    def spec(self, children: list[Any], first: int, last: int) -> s.SpecFile:
        doc, version, *statements = children
        text = "" if version is None else self.tokens.text(version)
        header = NO_SPAN if version is None else self.tokens.span(version - 1, version)
        return s.SpecFile(
            version=int(text) if text.isdigit() and len(text) < 10 else 1,
            statements=tuple(statements),
            doc=self.doc(doc),
            comments=tuple(self.tokens.comments),
            header=header,
            span=self.tokens.span(first, last),
        )

    def use(self, children: list[Any], first: int, last: int) -> s.Use:
        return s.Use(path=self.string(children[0]), span=self.tokens.span(first, last))

    def use_names(self, children: list[Any], first: int, last: int) -> s.Use:
        names, path = children
        return s.Use(path=self.string(path), names=names, span=self.tokens.span(first, last))

    def hypothesis(self, children: list[Any], first: int, last: int) -> s.Hypothesis:
        doc, name, refines, *statements = children
        return s.Hypothesis(
            name=name,
            refines=refines,
            statements=tuple(statements),
            doc=self.doc(doc),
            span=self.tokens.span(first, last),
        )

    # ── task ─────────────────────────────────────────────────────────────────────────────────

    def task(self, children: list[Any], first: int, last: int) -> s.Task:
        doc, name, statements = children
        return s.Task(
            name=name,
            statements=statements,
            doc=self.doc(doc),
            span=self.tokens.span(first, last),
        )

    def task_block(self, children: list[Any], first: int, last: int) -> tuple[Any, ...]:
        return tuple(children)

    def template(self, children: list[Any], first: int, last: int) -> s.Template:
        name, text = children
        return s.Template(
            name=name, text=self.string(text), span=self.tokens.span(first, last)
        )

    def slot_drawn(self, children: list[Any], first: int, last: int) -> s.Slot:
        names, source, *constraints = children
        return s.Slot(
            names=names,
            source=source,
            constraints=self.once(constraints),
            span=self.tokens.span(first, last),
        )

    def slot_computed(self, children: list[Any], first: int, last: int) -> s.Slot:
        names, value, *constraints = children
        return s.Slot(
            names=names,
            value=value,
            constraints=self.once(constraints),
            span=self.tokens.span(first, last),
        )

    def once(self, names: list[s.Name]) -> tuple[s.Name, ...]:
        """Constraints, each written once."""
        kept: dict[str, s.Name] = {}
        for name in names:
            if name.text in kept:
                self.duplicate(name.text, name.span, kept[name.text].span)
            kept.setdefault(name.text, name)
        return tuple(kept.values())

    def duplicate(self, what: str, span: Span, earlier: Span) -> None:
        """A clause written twice."""
        self.report(
            "C008",
            f"`{what}` is written twice in one statement",
            span,
            "keep one of the two",
            (Label(span=earlier, message="first written here"),),
        )

    def constraint(self, children: list[Any], first: int, last: int) -> s.Name:
        return s.Name(text=self.tokens.text(first), span=self.tokens.span(first, last))

    def words(self, children: list[Any], first: int, last: int) -> s.Words:
        name, source = children
        return s.Words(name=name, source=source, span=self.tokens.span(first, last))

    def word_list(self, children: list[Any], first: int, last: int) -> s.WordList:
        return s.WordList(
            words=tuple(self.string(c) for c in children), span=self.tokens.span(first, last)
        )

    def words_file(self, children: list[Any], first: int, last: int) -> s.WordsFile:
        return s.WordsFile(path=self.string(children[0]), span=self.tokens.span(first, last))

    def integer_range(self, children: list[Any], first: int, last: int) -> s.IntegerRange:
        low, high = children
        return s.IntegerRange(first=low, last=high, span=self.tokens.span(first, last))

    def table(self, children: list[Any], first: int, last: int) -> s.Table:
        name, *entries = children
        return s.Table(name=name, entries=tuple(entries), span=self.tokens.span(first, last))

    def entry(self, children: list[Any], first: int, last: int) -> tuple[s.Text, s.Text]:
        return self.string(children[0]), self.string(children[1])

    def position_declaration(
        self, children: list[Any], first: int, last: int
    ) -> s.PositionDeclaration:
        return s.PositionDeclaration(
            name=children[0], value=children[1], span=self.tokens.span(first, last)
        )

    def metric(self, children: list[Any], first: int, last: int) -> s.Metric:
        return s.Metric(name=children[0], value=children[1], span=self.tokens.span(first, last))

    def baseline(self, children: list[Any], first: int, last: int) -> s.Baseline:
        return s.Baseline(name=children[0], value=children[1], span=self.tokens.span(first, last))

    def sample(self, children: list[Clause], first: int, last: int) -> s.Sample:
        span = self.tokens.span(first, last)
        parts = self.clauses(children)
        if "evaluation" not in parts:
            self.report(
                "C018",
                "`sample` does not say how many prompts to evaluate",
                span,
                "write `sample evaluation 200, ...`, or `sample all`",
            )
        return s.Sample(
            evaluation=parts.get("evaluation", "all"),
            reference=parts.get("reference"),
            pool=parts.get("pool"),
            seed=parts.get("seed"),
            span=span,
        )

    def clauses(self, children: list[Clause]) -> dict[str, Any]:
        """Clauses by name, each written once."""
        found: dict[str, Clause] = {}
        for clause in children:
            name = clause[0]
            if name in found:
                span = self.tokens.span(clause[2], clause[3])
                earlier = self.tokens.span(found[name][2], found[name][3])
                self.duplicate(name, span, earlier)
            else:
                found[name] = clause
        return {name: clause[1] for name, clause in found.items()}

    def sample_all(self, children: list[Any], first: int, last: int) -> Clause:
        return ("evaluation", "all", first, last)

    def sample_evaluation(self, children: list[Any], first: int, last: int) -> Clause:
        return ("evaluation", children[0], first, last)

    def sample_reference(self, children: list[Any], first: int, last: int) -> Clause:
        return ("reference", children[0], first, last)

    def sample_pool(self, children: list[Any], first: int, last: int) -> Clause:
        return ("pool", children[0], first, last)

    def sample_seed(self, children: list[Any], first: int, last: int) -> Clause:
        return ("seed", children[0], first, last)

    def count(self, children: list[Any], first: int, last: int) -> s.Count:
        return s.Count(number=self.positive(first), span=self.tokens.span(first, last))

    def count_each(self, children: list[Any], first: int, last: int) -> s.Count:
        return s.Count(
            number=self.positive(first), each_template=True, span=self.tokens.span(first, last)
        )

    def positive(self, token: int) -> int:
        """A count: zero prompts say nothing."""
        return self.whole(token, least=1)

    def count_all(self, children: list[Any], first: int, last: int) -> Literal["all"]:
        return "all"

    def bos(self, children: list[Any], first: int, last: int) -> s.Bos:
        return s.Bos(
            prepend=self.tokens.text(last) == "yes", span=self.tokens.span(first, last)
        )

    def token_range(self, children: list[Any], first: int, last: int) -> s.Tokens:
        return s.Tokens(range=children[0], span=self.tokens.span(first, last))

    def answers(self, children: list[Any], first: int, last: int) -> s.Answers:
        style = cast(Literal["spaced", "glued"], self.tokens.text(last))
        return s.Answers(style=style, span=self.tokens.span(first, last))

    def prompts(self, children: list[Any], first: int, last: int) -> s.PromptsFile:
        return s.PromptsFile(path=self.string(children[0]), span=self.tokens.span(first, last))

    # ── circuit ──────────────────────────────────────────────────────────────────────────────

    def model(self, children: list[Any], first: int, last: int) -> s.ModelStatement:
        reference, revision = children
        return s.ModelStatement(
            reference=self.string(reference),
            revision=None if revision is None else self.string(revision),
            span=self.tokens.span(first, last),
        )

    def role(self, children: list[Any], first: int, last: int) -> s.Role:
        name, nodes, *clauses = children
        span = self.tokens.span(first, last)
        parts = self.clauses(clauses)
        if "@" not in parts:
            self.report(
                "C018",
                f"role `{name.text}` does not say at which position it lives",
                span,
                "add `@ POSITION` after its heads, or `@ *` for every position",
            )
        return s.Role(
            name=name,
            nodes=nodes,
            at=parts.get("@", s.PositionList(positions=(s.PositionExpr(label="*"),))),
            attends=parts.get("attends"),
            carries=parts.get("carries", ()),
            span=span,
        )

    def at_clause(self, children: list[Any], first: int, last: int) -> Clause:
        return ("@", children[0], first, last)

    def attends_clause(self, children: list[Any], first: int, last: int) -> Clause:
        return ("attends", children[0], first, last)

    def carries_clause(self, children: list[Any], first: int, last: int) -> Clause:
        return ("carries", tuple(children), first, last)

    def open(self, children: list[Any], first: int, last: int) -> s.Open:
        nodes, at, reason = children
        return s.Open(
            nodes=nodes, at=at, reason=self.string(reason), span=self.tokens.span(first, last)
        )

    def keep(self, children: list[Any], first: int, last: int) -> s.Keep:
        return s.Keep(targets=children[0], at=children[1], span=self.tokens.span(first, last))

    def edge(self, children: list[Any], first: int, last: int) -> s.Edge:
        senders, receivers, at = children
        return s.Edge(
            senders=senders, receivers=receivers, at=at, span=self.tokens.span(first, last)
        )

    def edge_within(self, children: list[Any], first: int, last: int) -> s.Edge:
        within, at = children
        return s.Edge(
            senders=(), receivers=(), at=at, within=within, span=self.tokens.span(first, last)
        )

    def group(self, children: list[Any], first: int, last: int) -> s.Group:
        return s.Group(name=children[0], roles=children[1], span=self.tokens.span(first, last))

    def drop(self, children: list[Any], first: int, last: int) -> s.Drop:
        return s.Drop(roles=children[0], span=self.tokens.span(first, last))

    def sweep_model(self, children: list[Any], first: int, last: int) -> s.Sweep:
        return self.sweep("model", children, first, last)

    def sweep_revision(self, children: list[Any], first: int, last: int) -> s.Sweep:
        return self.sweep("revision", children, first, last)

    def sweep_open(self, children: list[Any], first: int, last: int) -> s.Sweep:
        return self.sweep("open", children, first, last)

    def sweep(
        self,
        over: Literal["model", "revision", "open"],
        children: list[Any],
        first: int,
        last: int,
    ) -> s.Sweep:
        values = tuple(self.string(child) for child in children)
        return s.Sweep(over=over, values=values, span=self.tokens.span(first, last))

    # ── claims ───────────────────────────────────────────────────────────────────────────────

    def protocol(self, children: list[Any], first: int, last: int) -> s.Protocol:
        doc, name, *statements = children
        actions, _ = self.claim(statements)
        return s.Protocol(
            name=name, actions=actions, doc=self.doc(doc), span=self.tokens.span(first, last)
        )

    def expect(self, children: list[Any], first: int, last: int) -> s.Expect:
        doc, refuted, name, under, *statements = children
        actions, requirements = self.claim(statements)
        return s.Expect(
            name=name,
            refuted=refuted is not None,
            under=under,
            actions=actions,
            requirements=requirements,
            doc=self.doc(doc),
            span=self.tokens.span(first, last),
        )

    def refuted(self, children: list[Any], first: int, last: int) -> bool:
        return True

    def claim(
        self, statements: list[Any]
    ) -> tuple[tuple[s.Action, ...], tuple[s.Require, ...]]:
        """The actions and requirements of a block; `given { ... }` joins the `each` before it."""
        actions: list[Any] = []
        requirements = []
        orphans: list[Clause] = []
        joined: dict[int, Clause] = {}
        for statement in statements:
            if isinstance(statement, s.Require):
                requirements.append(statement)
            elif not isinstance(statement, tuple):
                actions.append(statement)
            elif actions and isinstance(actions[-1], s.Each):
                self.join(actions, len(actions) - 1, statement, joined)
            else:
                orphans.append(statement)
        each = [n for n, action in enumerate(actions) if isinstance(action, s.Each)]
        for clause in orphans:
            if each:
                self.join(actions, each[-1], clause, joined)
                continue
            self.report(
                "C018",
                "`given { ... }` names the sets of an `each`, and there is none in this block",
                self.tokens.span(clause[2], clause[3]),
                "write `each head given { ... }`; "
                "to measure under a further knock-out write `given ablated ROLE`",
            )
        return tuple(actions), tuple(requirements)

    def join(
        self, actions: list[Any], n: int, clause: Clause, joined: dict[int, Clause]
    ) -> None:
        """Give an `each` its sets."""
        _, sets, first, last = clause
        if n in joined:
            earlier = joined[n]
            self.duplicate(
                "given", self.tokens.span(first, last), self.tokens.span(earlier[2], earlier[3])
            )
            return
        joined[n] = clause
        span = actions[n].span
        if span.end <= self.tokens.starts[first]:
            span = self.tokens.place(span.start, self.tokens.ends[last])
        actions[n] = s.Each(unit=actions[n].unit, given=sets, span=span)

    def ablate(self, children: list[Any], first: int, last: int) -> s.Ablate:
        targets, by, value = children
        if targets == (s.Ref(name="complement"),):
            targets = "complement"
        return s.Ablate(
            targets=targets, by=by, value=value, span=self.tokens.span(first, last)
        )

    def zero(self, children: list[Any], first: int, last: int) -> s.AblationValue:
        return s.AblationValue(kind="zero", span=self.tokens.span(first, last))

    def mean(self, children: list[Any], first: int, last: int) -> s.AblationValue:
        return s.AblationValue(
            kind="mean",
            baseline=children[0],
            over=children[1],
            span=self.tokens.span(first, last),
        )

    def resample(self, children: list[Any], first: int, last: int) -> s.AblationValue:
        return s.AblationValue(
            kind="resample",
            baseline=children[0],
            draws=children[1],
            span=self.tokens.span(first, last),
        )

    def counterfactual(self, children: list[Any], first: int, last: int) -> s.AblationValue:
        return s.AblationValue(
            kind="counterfactual", baseline=children[0], span=self.tokens.span(first, last)
        )

    def noise(self, children: list[Any], first: int, last: int) -> s.AblationValue:
        return s.AblationValue(
            kind="noise", scale=children[0], span=self.tokens.span(first, last)
        )

    def word(self, children: list[Any], first: int, last: int) -> str:
        """A keyword kept as it is written."""
        return self.tokens.text(first)

    by_what = mean_over = patch_mode = unit = at_bound = comparison = plus = times = word

    def each_one(self, children: list[Any], first: int, last: int) -> bool:
        return True

    def direct(self, children: list[Any], first: int, last: int) -> Literal["direct"]:
        return "direct"

    def through_mlps(self, children: list[Any], first: int, last: int) -> Literal["mlps"]:
        return "mlps"

    def patch(self, children: list[Any], first: int, last: int) -> s.Patch:
        mode, senders, *hops, baseline, through = children
        return s.Patch(
            mode=mode,
            senders=senders,
            hops=tuple(hops),
            baseline=baseline,
            through=through,
            span=self.tokens.span(first, last),
        )

    def hop(self, children: list[Any], first: int, last: int) -> Any:
        return children[0]

    def scrub(self, children: list[Any], first: int, last: int) -> s.Scrub:
        roles, over, draws = children
        return s.Scrub(
            over=over, draws=draws, roles=roles or (), span=self.tokens.span(first, last)
        )

    def given(self, children: list[Any], first: int, last: int) -> s.Given:
        return s.Given(targets=children[0], span=self.tokens.span(first, last))

    def run(self, children: list[Any], first: int, last: int) -> s.Run:
        baseline, restore, at = children
        return s.Run(
            baseline=baseline, restore=restore or (), at=at, span=self.tokens.span(first, last)
        )

    def knockouts(self, children: list[Clause], first: int, last: int) -> s.Knockouts:
        sets = tuple(value for name, value, _, _ in children if name == "set")
        parts = self.clauses([clause for clause in children if clause[0] != "set"])
        return s.Knockouts(**parts, sets=sets, span=self.tokens.span(first, last))

    def knockout_groups(self, children: list[Any], first: int, last: int) -> Clause:
        return ("groups", True, first, last)

    def knockout_roles(self, children: list[Any], first: int, last: int) -> Clause:
        return ("roles", True, first, last)

    def knockout_random(self, children: list[Any], first: int, last: int) -> Clause:
        return ("random", children[0], first, last)

    def knockout_greedy(self, children: list[Any], first: int, last: int) -> Clause:
        parts = self.tokens.text(last).split("x")
        if any(len(part) > 9 or int(part) == 0 for part in parts):
            self.report(
                "C010",
                "runs, steps and candidates of a greedy search must each be at least 1",
                self.tokens.span(last, last),
                "write for example `greedy 10x10x10`",
            )
            parts = ["1", "1", "1"]
        runs, steps, candidates = (int(part) for part in parts)
        return ("greedy", (runs, steps, candidates), first, last)

    def knockout_set(self, children: list[Any], first: int, last: int) -> Clause:
        return ("set", children[0], first, last)

    def each(self, children: list[Any], first: int, last: int) -> s.Each:
        return s.Each(unit=children[0], span=self.tokens.span(first, last))

    def given_sets(self, children: list[Any], first: int, last: int) -> Clause:
        return ("given", tuple(children), first, last)

    def given_all(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(given=children[0], span=self.tokens.span(first, last))

    def given_before(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(given=children[0], before=True, span=self.tokens.span(first, last))

    def given_role(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(span=self.tokens.span(first, last))

    def given_all_for(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(
            members=children[0], given=children[1], span=self.tokens.span(first, last)
        )

    def given_before_for(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(
            members=children[0],
            given=children[1],
            before=True,
            span=self.tokens.span(first, last),
        )

    def given_role_for(self, children: list[Any], first: int, last: int) -> s.GivenSet:
        return s.GivenSet(members=children[0], span=self.tokens.span(first, last))

    def accept(self, children: list[Any], first: int, last: int) -> s.Accept:
        return s.Accept(what=children[0], span=self.tokens.span(first, last))

    def until(self, children: list[Any], first: int, last: int) -> s.Until:
        return s.Until(at_most=children[0], span=self.tokens.span(first, last))

    def require_bound(self, children: list[Any], first: int, last: int) -> s.Require:
        each, left, operator, right, level = children
        return s.Require(
            left=left,
            operator=operator,
            right=right,
            level=level,
            each=bool(each),
            span=self.tokens.span(first, last),
        )

    def require_within(self, children: list[Any], first: int, last: int) -> s.Require:
        each, left, tolerance, right, level = children
        return s.Require(
            left=left,
            operator="within",
            right=right,
            tolerance=tolerance,
            level=level,
            each=bool(each),
            span=self.tokens.span(first, last),
        )

    def require_equal(self, children: list[Any], first: int, last: int) -> s.Require:
        each, left, right, tolerance, level = children
        return s.Require(
            left=left,
            operator="==",
            right=right,
            tolerance=tolerance,
            level=level,
            each=bool(each),
            span=self.tokens.span(first, last),
        )

    def confidence(self, children: list[Any], first: int, last: int) -> s.Number:
        text = self.tokens.text(children[0])
        span = self.tokens.span(children[0], children[0])
        if children[0] in self.tokens.broken:
            return s.Number(text="95", span=span)
        if len(text) > 15 or not 50 <= float(text) < 100:
            self.report(
                "C010",
                f"a confidence of {text[:40]}% makes no sense",
                span,
                "write a percentage from 50 to just under 100: `ci 95`",
            )
            return s.Number(text="95", span=span)
        return s.Number(text=text, span=span)

    # ── nodes and positions ──────────────────────────────────────────────────────────────────

    def nodes(self, children: list[Any], first: int, last: int) -> tuple[Any, ...]:
        return tuple(child for child in children if child is not None)

    targets = receivers = nodes

    def node(self, children: list[int], first: int, last: int) -> s.NodeLiteral | None:
        return self.node_at(children[0])

    def node_at(self, token: int) -> s.NodeLiteral | None:
        """The node that a token writes out; else a diagnostic."""
        text = self.tokens.text(token)
        span = self.tokens.span(token, token)
        found = node_named(text)
        if found is not None:
            return s.NodeLiteral(node=found.node, span=span)
        if token in self.tokens.broken:
            return None
        near = near_node(text)
        self.report(
            "C009",
            f"`{text[:40]}` is not a head or an MLP",
            span,
            f"write `{near}`"
            if near
            else "heads are written `a9.h6` (layer 9, head 6) or `9.6`, MLPs `m3`",
        )
        return None

    def node_range(self, children: list[int], first: int, last: int) -> s.NodeRange | None:
        low, high = (self.node_at(child) for child in children)
        if low is None or high is None:
            return None
        return s.NodeRange(first=low, last=high, span=self.tokens.span(first, last))

    target_range = node_range

    def target(self, children: list[int], first: int, last: int) -> Any:
        return self.target_at(children[0])

    def target_at(self, token: int) -> s.Ref | s.NodeLiteral | None:
        """A node written out, or the name of a role or group."""
        text = self.tokens.text(token)
        span = self.tokens.span(token, token)
        if self.tokens.kind[token] == "NAME":
            return self.target_named(text, span)
        found = node_named(text)
        if found is not None:
            return s.NodeLiteral(node=found.node, span=span)
        if self.tokens.kind[token] == "DOTTED" and not _NEARLY_HEAD.fullmatch(text):
            base, _, channel = text.rpartition(".")
            if channel in CHANNELS:
                self.report(
                    "C017",
                    f"`{text[:40]}` names a channel, and only what receives has one",
                    span,
                    f"write `{base}` here",
                )
                return None
        return self.node_at(token)

    def target_named(self, text: str, span: Span) -> s.Ref | s.NodeLiteral | None:
        """A word without dots as a target."""
        found = node_named(text)
        if found is not None:
            return s.NodeLiteral(node=found.node, span=span)
        near = near_node(text)
        if near is not None:
            self.report("C009", f"`{text[:40]}` is not a head or an MLP", span, f"write `{near}`")
            return None
        return s.Ref(name=text, span=span)

    def receiver(self, children: list[int], first: int, last: int) -> s.Receiver | None:
        token = children[0]
        base, channels = self.channel(token)
        if channels is None:
            return None
        span = self.tokens.span(token, token)
        place = self.tokens.place(span.start, span.start + len(base))
        if base.isidentifier():
            target = self.target_named(base, place)
        else:
            found = node_named(base)
            target = None if found is None else s.NodeLiteral(node=found.node, span=place)
            if found is None:
                self.node_at(token)
        if target is None:
            return None
        return s.Receiver(target=target, channels=channels, span=span)

    def channel(self, token: int) -> tuple[str, tuple[Channel, ...] | None]:
        """`movers.kv` → (`movers`, (k, v)); `None` where the channel is none."""
        text = self.tokens.text(token)
        if "." not in text or node_named(text) is not None:
            return text, ()
        base, _, channel = text.rpartition(".")
        if channel in CHANNELS:
            return base, CHANNELS[channel]
        if near_node(text) is not None:
            self.node_at(token)
            return base, None
        ordered = "".join(sorted(set(channel), key="qkv".find))
        known = ordered in CHANNELS and ordered != "in"
        self.report(
            "C017",
            f"`.{channel[:40]}` is not a channel",
            self.tokens.place(self.tokens.ends[token] - len(channel) - 1, self.tokens.ends[token]),
            f"write `{base}.{ordered}`"
            if known
            else "heads are read at `.q`, `.k`, `.v`, `.qk`, `.qv`, `.kv` or `.qkv`, MLPs at `.in`",
        )
        return base, None

    def receiver_range(self, children: list[int], first: int, last: int) -> s.Receiver | None:
        low = self.node_at(children[0])
        base, channels = self.channel(children[1])
        high = node_named(base)
        if channels is not None and high is None:
            self.node_at(children[1])
        if low is None or high is None or channels is None:
            return None
        start = self.tokens.starts[children[1]]
        high = s.NodeLiteral(node=high.node, span=self.tokens.place(start, start + len(base)))
        span = self.tokens.span(first, last)
        return s.Receiver(
            target=s.NodeRange(first=low, last=high, span=span), channels=channels, span=span
        )

    def paired(self, children: list[Any], first: int, last: int) -> s.PositionList:
        return s.PositionList(
            positions=tuple(children), paired=True, span=self.tokens.span(first, last)
        )

    def listed(self, children: list[Any], first: int, last: int) -> s.PositionList:
        return s.PositionList(positions=tuple(children), span=self.tokens.span(first, last))

    def position(self, children: list[Any], first: int, last: int) -> s.PositionExpr:
        return cast(s.PositionExpr, children[0])

    def position_range(self, children: list[Any], first: int, last: int) -> s.PositionExpr:
        low, high = children
        return s.PositionExpr(
            label=low.label,
            index=low.index,
            offset=low.offset,
            end=high,
            span=self.tokens.span(first, last),
        )

    def everywhere(self, children: list[Any], first: int, last: int) -> s.PositionExpr:
        return s.PositionExpr(label="*", span=self.tokens.span(first, last))

    def label(self, children: list[Any], first: int, last: int) -> s.PositionExpr:
        label, index, offset = children
        return s.PositionExpr(
            label=self.tokens.text(label),
            index=index,
            offset=offset or 0,
            span=self.tokens.span(first, last),
        )

    def index(self, children: list[Any], first: int, last: int) -> int:
        return cast(int, children[0])

    def index_from_end(self, children: list[Any], first: int, last: int) -> int:
        if children[0] == 0:
            self.report(
                "C010",
                "`-0` is not an index",
                self.tokens.span(first, last),
                "the last token is `[-1]`, the first `[0]`",
            )
        return -cast(int, children[0])

    def index_all(self, children: list[Any], first: int, last: int) -> Literal["*"]:
        return "*"

    offset = index

    def offset_left(self, children: list[Any], first: int, last: int) -> int:
        return -cast(int, children[0])

    def name_list(self, children: list[Any], first: int, last: int) -> tuple[s.Name, ...]:
        return tuple(children)

    def name(self, children: list[Any], first: int, last: int) -> s.Name:
        return s.Name(text=self.tokens.text(first), span=self.tokens.span(first, last))

    def declared(self, children: list[Any], first: int, last: int) -> s.Name:
        """A name that a statement gives: not one that the language keeps for itself."""
        name = self.name(children, first, last)
        why = reserved(name.text)
        if why is not None:
            self.report(
                "C014",
                f"`{name.text[:40]}` cannot be a name: {why}",
                name.span,
                "choose another name",
            )
        return name

    def reference(self, children: list[Any], first: int, last: int) -> s.Ref:
        return s.Ref(name=self.tokens.text(first), span=self.tokens.span(first, last))

    def integer(self, children: list[Any], first: int, last: int) -> int:
        return self.whole(first)

    def number(self, children: list[Any], first: int, last: int) -> s.Number:
        return self.number_at(first, last, percent=False)

    def percent(self, children: list[Any], first: int, last: int) -> s.Number:
        return self.number_at(first, last, percent=True)

    def number_at(self, first: int, last: int, *, percent: bool) -> s.Number:
        text = self.tokens.text(first)
        span = self.tokens.span(first, last)
        if first in self.tokens.broken:
            return s.Number(text="0", span=span)
        if len(text) > 40 or float(text) in (float("inf"),):
            self.report("C010", "this number has too many digits", span)
            return s.Number(text="0", span=span)
        return s.Number(text=text, percent=percent, span=span)

    # ── expressions ──────────────────────────────────────────────────────────────────────────

    def binary(self, children: list[Any], first: int, last: int) -> Any:
        left, operator, right = children
        node = s.Binary(
            operator=operator, left=left, right=right, span=self.tokens.span(first, last)
        )
        return self.nested(node, left, right)

    def negative(self, children: list[Any], first: int, last: int) -> Any:
        node = s.Unary(operator="-", operand=children[0], span=self.tokens.span(first, last))
        return self.nested(node, children[0])

    def at(self, children: list[Any], first: int, last: int) -> Any:
        value, label, index = children
        start = self.tokens.starts[label]
        position = s.PositionExpr(
            label=self.tokens.text(label),
            index=index,
            span=self.tokens.place(start, self.tokens.ends[last]),
        )
        node = s.At(value=value, position=position, span=self.tokens.span(first, last))
        return self.nested(node, value)

    def at_position(self, children: list[Any], first: int, last: int) -> Any:
        value, position = children
        node = s.At(value=value, position=position, span=self.tokens.span(first, last))
        return self.nested(node, value)

    def text(self, children: list[Any], first: int, last: int) -> s.Text:
        return self.string(first)

    def value(self, children: list[Any], first: int, last: int) -> Any:
        text = self.tokens.text(first)
        span = self.tokens.span(first, last)
        found = node_named(text)
        if found is not None:
            return s.NodeLiteral(node=found.node, span=span)
        near = near_node(text)
        if near is not None and text[0] not in "mM":
            self.report("C009", f"`{text[:40]}` is not a head or an MLP", span, f"write `{near}`")
        return s.Ref(name=text, span=span)

    def subscript(self, children: list[Any], first: int, last: int) -> s.Subscript:
        label = s.Ref(name=self.tokens.text(first), span=self.tokens.span(first, first))
        return s.Subscript(
            label=label, index=children[1], span=self.tokens.span(first, last)
        )

    def call(self, children: list[Any], first: int, last: int) -> Any:
        function = self.tokens.text(first)
        parts = children[1] or []
        arguments = [part for part in parts if not isinstance(part, s.Keyword)]
        keywords = tuple(part for part in parts if isinstance(part, s.Keyword))
        seen: dict[str, Span] = {}
        for word in keywords:
            if word.name in seen:
                self.duplicate(word.name, word.span, seen[word.name])
            seen.setdefault(word.name, word.span)
        if function in NODE_FUNCTIONS:
            arguments = [self.as_node(argument) for argument in arguments]
        node = s.Call(
            function=function,
            arguments=tuple(arguments),
            keywords=keywords,
            span=self.tokens.span(first, last),
        )
        return self.nested(node, *arguments, *(word.value for word in keywords))

    def as_node(self, argument: Any) -> Any:
        """A number among nodes is a head: `effect(9.10)` is of a9.h10."""
        if not isinstance(argument, s.Number) or argument.percent:
            return argument
        found = node_named(argument.text)
        if found is None:
            self.report(
                "C009",
                f"`{argument.text}` is not a head",
                argument.span,
                "heads are written `a9.h6` (layer 9, head 6) or `9.6`",
            )
            return argument
        return s.NodeLiteral(node=found.node, span=argument.span)

    def parenthesised(self, children: list[Any], first: int, last: int) -> Any:
        return children[0]

    def arguments(self, children: list[Any], first: int, last: int) -> list[Any]:
        return children

    def keyword(self, children: list[Any], first: int, last: int) -> s.Keyword:
        name, value = children
        return s.Keyword(
            name=self.tokens.text(name), value=value, span=self.tokens.span(first, last)
        )


def reserved(name: str) -> str | None:
    """Why a name may not be declared, or `None`."""
    if node_named(name) is not None or near_node(name) is not None:
        return "it reads as a node of the model"
    if name in tables().reserved:
        return "it is a keyword"
    if name in ("mlps", "heads", "complement"):
        return "it stands for nodes of the model"
    if name in ("END", "BOS"):
        return "it stands for a position of every prompt"
    return None
