"""What can be said of a task from its text alone: names, functions, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Severity, Span
from circuitspec.task.baselines import read_baseline
from circuitspec.task.expressions import canonical, references
from circuitspec.task.functions import (
    ANSWER_FUNCTIONS,
    FEATURE_FUNCTIONS,
    POSITION_FUNCTIONS,
    SLOT_FUNCTIONS,
    VALUE_FUNCTIONS,
    Signature,
)
from circuitspec.task.metrics import answers_of, read_metric
from circuitspec.task.resolve import resolve
from circuitspec.task.resolved import NoiseOn, ResolvedTask, Swap, Transformation
from circuitspec.task.sampling import needs, population_size
from circuitspec.task.suggestions import did_you_mean, listing, nearest

POPULATION_LIMIT = 100_000
"""Most prompts that `sample all` lists."""


def check_task(
    task: syntax.Task, *, base_dir: Path, used: Iterable[str] = ()
) -> tuple[Diagnostic, ...]:
    """Every mistake in a task that shows without a tokenizer.

    `used` are names that the rest of the hypothesis uses (positions, `carries`), so that they do
    not count as unused.
    """
    resolved, diagnostics = resolve(task, base_dir)
    return diagnostics + check_resolved(resolved, used=used)


def check_feature(task: ResolvedTask, expr: syntax.Expr) -> tuple[Diagnostic, ...]:
    """Whether a feature (`carries ...`) speaks of things that the task has."""
    checker = _Checker(task)
    checker.expression(expr, _FEATURES)
    return tuple(checker.diagnostics)


def check_resolved(task: ResolvedTask, *, used: Iterable[str] = ()) -> tuple[Diagnostic, ...]:
    """The same for a task that is resolved already."""
    checker = _Checker(task)
    checker.templates()
    checker.statements()
    for name, expr in task.computed.items():
        checker.expression(expr, _SLOTS, of=name)
    for position in task.positions.values():
        checker.expression(position.value, _POSITIONS, of=position.name.text)
    checker.metrics()
    transformations = checker.baselines()
    checker.sampling(transformations)
    checker.unused(set(used))
    return tuple(checker.diagnostics)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where an expression stands: the functions it may use, and names with a meaning there."""

    place: str
    functions: Mapping[str, Signature]
    names: tuple[str, ...] = ()
    positions: bool = False


def _signatures(*tables: Mapping[str, Signature]) -> dict[str, Signature]:
    known = {name: Signature(f.least, f.most) for name, f in VALUE_FUNCTIONS.items()}
    for table in tables:
        known.update(table)
    return known


_SLOTS = _Kind("a computed slot", _signatures(SLOT_FUNCTIONS))
_ANSWERS = _Kind("an answer", _signatures(ANSWER_FUNCTIONS), ("next",), positions=True)
_POSITIONS = _Kind("a position", _signatures(POSITION_FUNCTIONS), ("END", "BOS"), positions=True)
_FEATURES = _Kind(
    "a feature", _signatures(FEATURE_FUNCTIONS), ("END", "BOS", "here", "template"), positions=True
)


@dataclass(slots=True)
class _Checker:
    task: ResolvedTask
    diagnostics: list[Diagnostic] = field(default_factory=list)
    mentioned: set[str] = field(default_factory=set)
    missing: dict[str, int] = field(default_factory=dict)

    def say(
        self,
        code: str,
        message: str,
        span: Span,
        hint: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.diagnostics.append(
            Diagnostic(code=code, message=message, span=span, hint=hint, severity=severity)
        )

    def unknown(
        self,
        code: str,
        name: str,
        message: str,
        span: Span,
        known: Iterable[str],
        otherwise: str,
    ) -> None:
        """A name that nothing bears: one finding a name, every other use of it a label."""
        if name in self.missing:
            i = self.missing[name]
            label = Label(span=span, message="and here")
            self.diagnostics[i] = replace(
                self.diagnostics[i], labels=(*self.diagnostics[i].labels, label)
            )
            return
        self.missing[name] = len(self.diagnostics)
        near = nearest(name, sorted(known))
        if near is not None:
            self.mentioned.add(near)  # most likely it is used, under the other name
        self.say(code, message, span, otherwise if near is None else f"did you mean `{near}`?")

    # ── templates and statements ─────────────────────────────────────────────────────────────────

    def templates(self) -> None:
        """Labels that no slot fills; texts that no tokenizer reads as meant."""
        task = self.task
        if not task.templates and task.rows is None:
            self.say(
                "T001",
                f"task `{task.name}` has no prompts",
                task.span,
                'write a template: `template t "When {IO} and {S1} went to"`',
            )
        for template in task.templates.values():
            for piece in template.pieces:
                if piece.is_label and piece.text not in task.slots:
                    self.unknown(
                        "T002",
                        piece.text,
                        f"no slot fills the label `{piece.text}` of template `{template.name}`",
                        piece.span,
                        task.slots,
                        f"declare it: `slot {piece.text} from LIST`",
                    )
            last = template.pieces[-1] if template.pieces else None
            if task.integers is not None:
                self._integers(template.name, template.pieces)
            elif last is not None and not last.is_label and last.text != last.text.rstrip():
                self.say(
                    "T025",
                    f"template `{template.name}` ends in a space, which is a token of its own to "
                    "most tokenizers",
                    last.span,
                    "end it with the last word; answers come after a space unless `answers glued`",
                    Severity.WARNING,
                )

    def _integers(self, name: str, pieces: Iterable[object]) -> None:
        """Words of an integer task that are no integers of its range."""
        from circuitspec.task.templates import Piece

        allowed = self.task.integers
        assert allowed is not None
        parts = [p for p in pieces if isinstance(p, Piece)]
        for i, piece in enumerate(parts):
            if piece.is_label:
                after = parts[i + 1] if i + 1 < len(parts) else None
                if after is not None and (after.is_label or not after.text[:1].isspace()):
                    text = f"`{{{piece.text}}}` is not a word of its own in template `{name}`"
                    self.say("T022", text, piece.span, "put spaces between token ids")
                continue
            for word in piece.text.split():
                number = int(word) if word.isascii() and word.isdigit() and len(word) < 10 else -1
                if not allowed.first <= number <= allowed.last:
                    self.say(
                        "T022",
                        f"{word!r} in template `{name}` is no token of "
                        f"`{allowed.first}..{allowed.last}`",
                        piece.span,
                        "write token ids, separated by spaces",
                    )

    def statements(self) -> None:
        """Statements without which a number would depend on what the file does not say."""
        task = self.task
        if task.sample is None:
            self.say(
                "T006",
                f"task `{task.name}` does not say how many prompts to draw",
                task.span,
                "write `sample evaluation 200, reference 200 each template, seed 0`, or "
                "`sample all`",
            )
        if task.bos is None and task.integers is None:
            self.say(
                "T007",
                f"task `{task.name}` does not say whether BOS is prepended",
                task.span,
                "write `bos yes` or `bos no`: it shifts every position and changes every number",
            )
        if task.bos is not None and task.bos.prepend and task.integers is not None:
            self.say(
                "T023",
                "a task over integer tokens has no tokenizer to name a BOS token",
                task.bos.span,
                "write the id of BOS at the start of each template, and `bos no`",
            )
        if task.integers is not None and task.integers.last < task.integers.first:
            text = f"`{task.integers.first}..{task.integers.last}` holds no token"
            self.say("T015", text, task.integers.span, "write the smaller id first")

    # ── expressions ──────────────────────────────────────────────────────────────────────────────

    def expression(self, expr: syntax.Expr, kind: _Kind, of: str | None = None) -> None:
        """Names and functions of an expression, and how many things a function is given."""
        match expr:
            case syntax.Ref(name=name):
                self._name(expr, name, kind, of)
            case syntax.Subscript(label=label):
                self._name(label, label.name, kind, of)
            case syntax.Unary(operand=operand):
                self.expression(operand, kind, of)
            case syntax.Binary(left=left, right=right):
                self.expression(left, kind, of)
                self.expression(right, kind, of)
            case syntax.Call():
                self._call(expr, kind, of)
            case syntax.NodeLiteral() | syntax.At():
                text = f"`{canonical(expr)}` has no place in {kind.place}"
                self.say("T014", text, expr.span, "name slots, positions, lists and tables")
            case _:
                pass

    def _name(self, ref: syntax.Ref, name: str, kind: _Kind, of: str | None) -> None:
        task = self.task
        self.mentioned.add(name)
        known = {*task.slots, *task.lists, *kind.names}
        if kind.positions:
            known |= set(task.positions)
        if name in known and not (name == of and name in task.positions):
            return
        if name == of:
            text = f"position `{name}` is declared by way of itself"
            self.say("T010", text, ref.span, "say where it is by other labels")
            return
        what = "slot, position or word list" if kind.positions else "slot or word list"
        names = [n for n in sorted(known) if "." not in n]
        otherwise = f"known are {listing(names)}" if names else "declare it"
        self.unknown("T011", name, f"there is no {what} `{name}`", ref.span, known, otherwise)

    def _call(self, call: syntax.Call, kind: _Kind, of: str | None) -> None:
        signature = kind.functions.get(call.function)
        if call.function in self.task.tables:
            signature = Signature(1, 1)
            self.mentioned.add(call.function)
        if signature is None:
            known = (*kind.functions, *self.task.tables)
            otherwise = f"functions of {kind.place} are {listing(sorted(known), most=40)}"
            self.say(
                "T013",
                f"`{call.function}` is no function of {kind.place}",
                call.span,
                did_you_mean(call.function, known, otherwise=otherwise),
            )
            return
        count = len(call.arguments)
        if count < signature.least or (signature.most is not None and count > signature.most):
            bounds = _bounds(signature)
            text = f"`{call.function}` takes {bounds}, and is given {count}"
            self.say("T014", text, call.span, f"write `{call.function}(...)` with {bounds}")
        for keyword in call.keywords:
            if keyword.name not in signature.keywords:
                allowed = listing(signature.keywords)
                hint = f"it takes {allowed}" if allowed else "leave it out"
                text = f"`{call.function}` has no argument `{keyword.name}`"
                self.say("T014", text, keyword.span, hint)
        if call.function == "find" and not any(k.name == "token" for k in call.keywords):
            text = "`find` does not say what to look for"
            self.say("T014", text, call.span, "write `find(token = X)`")
        if call.function == "column":
            self._column(call)
            return
        for argument in (*call.arguments, *(k.value for k in call.keywords)):
            self.expression(argument, kind, of)

    def _column(self, call: syntax.Call) -> None:
        names = {*self.task.columns}
        for row in self.task.rows or ():
            names |= set(row.columns)
        for argument in call.arguments:
            name = argument.value if isinstance(argument, syntax.Text) else canonical(argument)
            self.mentioned.add(name)
            if name not in names:
                otherwise = f"its columns are {listing(sorted(names)) or 'none'}"
                hint = did_you_mean(name, names, otherwise=otherwise)
                text = f"the prompts file has no column `{name}`"
                self.say("T011", text, argument.span, hint)

    # ── metrics, baselines, sample ───────────────────────────────────────────────────────────────

    def metrics(self) -> None:
        """Metrics that are no sum of measures; answers and places that do not exist."""
        for metric in self.task.metrics.values():
            self.diagnostics += read_metric(metric)[1]
            for answer in answers_of(metric):
                self.expression(answer, _ANSWERS)
            for position in _places(metric.value):
                self.place(position)

    def place(self, position: syntax.PositionExpr) -> None:
        """The label of a position."""
        known = {*self.task.slots, *self.task.positions, "END", "BOS", "*"}
        known |= {n for row in self.task.rows or () for n in row.positions}
        self.mentioned.add(position.label)
        if position.label not in known:
            otherwise = f"labels are {listing(sorted(known - {'*'}))}"
            text = f"there is no position `{position.label}`"
            self.unknown("T011", position.label, text, position.span, known - {"*"}, otherwise)
        if position.end is not None:
            self.place(position.end)

    def baselines(self) -> list[Transformation]:
        """Baselines that say nothing, or change nothing."""
        found = []
        for baseline in self.task.baselines.values():
            self.mentioned |= {r.name for r in references(baseline.value)}
            if any(r.name in self.missing for r in references(baseline.value)):
                for ref in references(baseline.value):
                    if ref.name in self.missing:
                        self.unknown("T011", ref.name, "", ref.span, (), "")
                continue
            transformation, diagnostics = read_baseline(self.task, baseline)
            self.diagnostics += diagnostics
            if isinstance(transformation, NoiseOn):
                for position in transformation.positions:
                    self.expression(position, _POSITIONS)
            if transformation is not None:
                found.append(transformation)
        return found

    def sampling(self, transformations: list[Transformation]) -> None:
        """Seeds that are missing, populations that are too large."""
        sample = self.task.sample
        if sample is None:
            return
        exact = all(isinstance(t, Swap) for t in transformations)
        counts = (sample.evaluation, sample.reference, sample.pool)
        drawn = any(isinstance(c, syntax.Count) for c in counts) or not exact
        if drawn and sample.seed is None:
            text = f"task `{self.task.name}` draws prompts and states no seed"
            self.say("T008", text, sample.span, "write `seed 0` at the end of the statement")
        whole = "all" in counts
        if whole and all(g.words for g in self.task.groups) and self._sound():
            size = population_size(self.task)
            if size > POPULATION_LIMIT:
                shown = f"{size:,}" if size < 10**15 else "more than a thousand million million"
                self.say(
                    "T021",
                    f"`all` is {shown} prompts, and at most {POPULATION_LIMIT:,} are listed",
                    sample.span,
                    "draw some: `sample evaluation 1000, seed 0`",
                )

    def _sound(self) -> bool:
        labels = {n for t in self.task.templates.values() for n in t.labels}
        return labels <= set(self.task.slots)

    def unused(self, used: set[str]) -> None:
        """Slots, positions, lists and tables that nothing speaks of."""
        task = self.task
        used = used | self.mentioned | {n for t in task.rotation for n in task.labels(t)}
        for template in task.templates.values():
            used |= set(needs(task, template))
        used |= set(task.linked.values())
        used |= {r.name for expr in task.computed.values() for r in references(expr)}
        slots = [n for g in task.groups for n in g.names] + [*task.linked, *task.computed]
        for kind, names in (("slot", slots), ("position", list(task.positions))):
            for name in names:
                if name not in used and name in task.spans:
                    self.say(
                        "T003",
                        f"{kind} `{name}` is never used",
                        task.spans[name],
                        "use it, or take the statement out",
                        Severity.WARNING,
                    )


def _bounds(signature: Signature) -> str:
    if signature.most is None:
        return f"{signature.least} or more arguments"
    if signature.least == signature.most:
        return f"{signature.least} argument{'' if signature.least == 1 else 's'}"
    return f"{signature.least} to {signature.most} arguments"


def _places(expr: syntax.Expr) -> list[syntax.PositionExpr]:
    match expr:
        case syntax.At(value=value, position=position):
            return [position, *_places(value)]
        case syntax.Unary(operand=operand):
            return _places(operand)
        case syntax.Binary(left=left, right=right):
            return [*_places(left), *_places(right)]
        case _:
            return []
