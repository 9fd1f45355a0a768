"""The syntax tree: every statement of the language as a frozen record, names not yet resolved.

Spans never take part in comparison, so two trees are equal when they say the same thing.

Longer than other modules on purpose: the language's statements stand in one place, one record each
with an example and nothing else, and whoever adds one sees all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from circuitspec.language.diagnostics import NO_SPAN, Span
from circuitspec.language.nodes import Channel, Head, Input, Logits, Mlp


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Anything that stands somewhere in a file."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Located):
    """An identifier as written, possibly dotted (`names.english`)."""

    text: str

    def __str__(self) -> str:
        return self.text


# ── Expressions: one language for metrics, requirements, features, positions and slots ──────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Located):
    """A number as written; `percent` where a `%` follows (`20%` has text "20")."""

    text: str
    percent: bool = False

    @property
    def value(self) -> float:
        """The number meant: `20%` is 0.2."""
        return float(self.text) / (100.0 if self.percent else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Located):
    """A string literal, unescaped."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref(Located):
    """A name used as a value: a slot, position, role, metric (`logit_diff`, `model.logit_diff`)."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLiteral(Located):
    """A node written out: `a9.h9`, `m3`, `input`, `logits`."""

    node: Head | Mlp | Input | Logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscript(Located):
    """One token of a label of several: `S1[0]`, `S1[-1]`, `S1[*]`."""

    label: Ref
    index: int | Literal["*"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword(Located):
    """A named argument of a call: `find(token = X)`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Located):
    """A function of the language applied: `logit(IO)`, `attention(name_mover)`."""

    function: str
    arguments: tuple[Expr, ...] = ()
    keywords: tuple[Keyword, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Located):
    """A sign: `-x`."""

    operator: Literal["-"]
    operand: Expr


Operator = Literal["+", "-", "*", "/", "mod", "==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Located):
    """Arithmetic or comparison: `logit(IO) - logit(S1)`, `(A + B) mod 113`."""

    operator: Operator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class At(Located):
    """A measure taken at a position other than its own: `logit(IO) at A_doc`."""

    value: Expr
    position: PositionExpr


Expr = Number | Text | Ref | NodeLiteral | Subscript | Call | Unary | Binary | At


# ── Positions and nodes in statements ────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionExpr(Located):
    """`S1`, `S1+1`, `S1[-1]`, `END`, `BOS`, `*`, a range `P[0]..P[3]` written with `end`."""

    label: str
    index: int | Literal["*"] | None = None
    offset: int = 0
    end: PositionExpr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionList(Located):
    """One or more positions. `paired`: in parentheses, matched one to one with a partner."""

    positions: tuple[PositionExpr, ...]
    paired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRange(Located):
    """`m4..m6`: the MLPs of consecutive layers."""

    first: NodeLiteral
    last: NodeLiteral


Target = Ref | NodeLiteral | NodeRange
"""What a statement acts on: a role, a group, `mlps`, `heads`, or nodes written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver(Located):
    """Where an edge arrives: target and channels. `kv` and `qkv` are several; none for logits.

    `channels` is empty where none was written (`-> logits`, or a role of MLPs read at `in`).
    """

    target: Target
    channels: tuple[Channel, ...] = ()


# ── Task ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Located):
    """`template abba "When {IO} and {S1} ..."`."""

    name: Name
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class WordList(Located):
    """Words written out: `"store", "park"`."""

    words: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsFile(Located):
    """Words from a file beside the spec, one a line: `file "names.txt"`."""

    path: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerRange(Located):
    """Integers from `first` to `last`, both included: `0..63`."""

    first: int
    last: int


SlotSource = Ref | WordList | WordsFile | IntegerRange
"""Where a slot's values come from: another slot or a word list by name, or values in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(Located):
    """`slot IO, S1 from names.english distinct one_token`; or computed: `slot C = (A+B) mod 113`.

    `constraints` are names: `distinct` (all slots of the statement differ), `one_token`,
    `same_tokens` (as many tokens as each other).
    """

    names: tuple[Name, ...]
    source: SlotSource | None = None
    value: Expr | None = None
    constraints: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Located):
    """`words fruits = "apple", "pear"`: a word list of the spec's own."""

    name: Name
    source: WordList | WordsFile | IntegerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Located):
    """`table plural { "cat": "cats", ... }`: a lookup table for computed slots and features."""

    name: Name
    entries: tuple[tuple[Text, Text], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionDeclaration(Located):
    """`position BIG = argmax(A, B)`; `position PUNCT = token 3`-like forms are calls too."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Located):
    """`metric logit_diff = logit(IO) - logit(S1)`."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline(Located):
    """`baseline abc = resample(IO, S1, S2)`: a counterfactual distribution."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Located):
    """So many prompts, or so many of each template."""

    number: int
    each_template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Located):
    """`sample evaluation 200, reference 200 each template, seed 0`, or `sample all`."""

    evaluation: Count | Literal["all"]
    reference: Count | Literal["all"] | None = None
    seed: int | None = None
    pool: Count | Literal["all"] | None = None
    """Prompts that scrubs and resamples draw from; the pool is printed and its indices recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bos(Located):
    """`bos yes` or `bos no`: whether the tokenizer's BOS token is prepended."""

    prepend: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Located):
    """`tokens integer 0..63`: the words of a template are token ids, no tokenizer."""

    range: IntegerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Located):
    """`answers glued`: an answer continues the prompt without a space (default: `spaced`)."""

    style: Literal["spaced", "glued"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsFile(Located):
    """`prompts from "prompts.jsonl"`: prompts with columns for slots and positions."""

    path: Text


TaskStatement = (
    Template
    | Slot
    | Words
    | Table
    | PositionDeclaration
    | Metric
    | Baseline
    | Sample
    | Bos
    | Tokens
    | Answers
    | PromptsFile
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Located):
    """`task ioi { ... }`; `statements` is `None` where a task is only named (`task ioi`)."""

    name: Name
    statements: tuple[TaskStatement, ...] | None = None
    doc: str | None = None


# ── The circuit ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatement(Located):
    """`model "gpt2" revision "607a30d"`: packaged name, directory or hub name."""

    reference: Text
    revision: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(Located):
    """`role induction = a5.h5, a6.h9 @ S2 attends S1+1 carries position(S1)`."""

    name: Name
    nodes: tuple[NodeLiteral | NodeRange, ...]
    at: PositionList
    attends: PositionList | None = None
    carries: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Located):
    """`open a7.h1 @ S2 "unclear"`: a node the author knows of and cannot explain."""

    nodes: tuple[NodeLiteral | NodeRange, ...]
    at: PositionList
    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Located):
    """`keep mlps @ *`: nodes that stay in the circuit, and belong to no knock-out."""

    targets: tuple[Target, ...]
    at: PositionList


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge(Located):
    """`edge induction -> s_inhibition.kv [at S2]`; `edge within late` joins members of a role."""

    senders: tuple[Target, ...]
    receivers: tuple[Receiver, ...]
    at: PositionList | None = None
    within: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Located):
    """`group movers = name_mover, backup_mover`: roles taken together in claims."""

    name: Name
    roles: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Located):
    """`drop backup_mover`: in a refinement, removes a role and every mention of it."""

    roles: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Located):
    """`sweep model "a", "b"`, `sweep revision "step1000", ...`: the hypothesis once for each value.

    `sweep open` has no values: the open nodes are swept in and out of the circuit.
    """

    over: Literal["model", "revision", "open"]
    values: tuple[Text, ...] = ()


# ── Claims ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationValue(Located):
    """What a cut output becomes.

    `zero`, `mean from abc over template`, `resample from abc draws 4`, `counterfactual from abc`,
    `noise 3.0`.
    """

    kind: Literal["zero", "mean", "resample", "counterfactual", "noise"]
    baseline: Name | None = None
    over: Literal["template", "position", "batch"] | None = None
    draws: int | None = None
    scale: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablate(Located):
    """`ablate complement by nodes with mean from abc over template`; `ablate name_mover`.

    `targets` is `"complement"`, or what to cut, or `None` in a protocol. What is missing comes
    from the protocol the claim stands under.
    """

    targets: tuple[Target, ...] | Literal["complement"] | None = None
    by: Literal["nodes", "edges"] | None = None
    value: AblationValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch(Located):
    """`patch R from D` (activation patching; no receivers), or
    `patch all A -> B.q [-> C.k ...] from D through mlps` (path patching)."""

    mode: Literal["all", "each"] | None = None
    senders: tuple[Target, ...]
    hops: tuple[tuple[Receiver, ...], ...] = ()
    baseline: Name
    through: Literal["direct", "mlps"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub(Located):
    """`scrub over task draws 4`; `roles` restricts it to some roles' interpretations."""

    over: Name
    draws: int | None = None
    roles: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Located):
    """`given ablated name_mover`: a further knock-out under which everything else is measured."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Located):
    """`run from noised restore m4..m6 @ SUBJ[-1]`: start from a baseline, put clean values back."""

    baseline: Name
    restore: tuple[Target, ...] = ()
    at: PositionList | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Knockouts(Located):
    """`knockouts groups, roles, random 100, greedy 10x10x10`: the sets K of a completeness claim.

    `greedy` is (runs, steps, candidates a step).
    """

    groups: bool = False
    roles: bool = False
    random: int | None = None
    greedy: tuple[int, int, int] | None = None
    sets: tuple[tuple[Target, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSet(Located):
    """One clause of a minimality claim's K: for `members`, `given`; `before`: those listed earlier.

    `movers before it` has `given=(movers,)`, `before=True`; `role` (v's own role without v) has
    `given=()`.
    """

    members: tuple[Target, ...] = ()
    given: tuple[Target, ...] = ()
    before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Each(Located):
    """`each head given { ... }`: the elements v of a minimality claim and K for each."""

    unit: Literal["head", "node", "role", "edge"]
    given: tuple[GivenSet, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(Located):
    """`accept blind`: the author knows that a mean of differences hides what moves both answers."""

    what: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Until(Located):
    """`until decided, at most 2000`: sample on until the verdict is settled."""

    at_most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Require(Located):
    """`require logit_diff >= 80% * model.logit_diff ci 95`.

    `operator` `"within"`: `left within tolerance of right`; `"=="`: `left == right +- tolerance`.
    `each` makes one requirement of every head or pair. `level` is the confidence in percent.
    """

    left: Expr
    operator: Literal[">=", "<=", ">", "<", "within", "=="]
    right: Expr
    tolerance: Number | None = None
    level: Number | None = None
    each: bool = False


Action = Ablate | Patch | Scrub | Given | Run | Knockouts | Each | Accept | Until


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect(Located):
    """`expect [refuted] NAME [under PROTOCOL] { ... }`: one claim."""

    name: Name
    refuted: bool = False
    under: Name | None = None
    actions: tuple[Action, ...] = ()
    requirements: tuple[Require, ...] = ()
    doc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol(Located):
    """`protocol paper { ablate by nodes with ... }`: what several claims share."""

    name: Name
    actions: tuple[Action, ...]
    doc: str | None = None


HypothesisStatement = (
    ModelStatement | Task | Role | Open | Keep | Edge | Group | Drop | Sweep | Protocol | Expect
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis(Located):
    """`hypothesis NAME [refines OTHER] { ... }`."""

    name: Name
    refines: Name | None = None
    statements: tuple[HypothesisStatement, ...] = ()
    doc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(Located):
    """`use "shared.circuit"`: words, tasks, protocols and hypotheses of another file."""

    path: Text
    names: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Located):
    """A `#` comment, kept for the formatter."""

    text: str


FileStatement = Use | Words | Task | Protocol | Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile(Located):
    """A whole file: `circuitspec 1` and what follows."""

    version: int
    statements: tuple[FileStatement, ...] = ()
    doc: str | None = None
    comments: tuple[Comment, ...] = field(default=(), compare=False)
    header: Span = field(default=NO_SPAN, compare=False, repr=False)
    """Where `circuitspec 1` stands."""

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The hypotheses of the file, in order."""
        return tuple(s for s in self.statements if isinstance(s, Hypothesis))
