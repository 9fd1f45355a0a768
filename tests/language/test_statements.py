"""Every statement and the record it becomes; names and numbers are read as they are written."""

from __future__ import annotations

import pytest

from circuitspec.language import syntax as s
from circuitspec.language.nodes import INPUT, LOGITS, Head, HeadIndex, Layer, Mlp
from circuitspec.language.parser import parse


def name(text: str) -> s.Name:
    return s.Name(text=text)


def ref(text: str) -> s.Ref:
    return s.Ref(name=text)


def text(value: str) -> s.Text:
    return s.Text(value=value)


def number(written: str, *, percent: bool = False) -> s.Number:
    return s.Number(text=written, percent=percent)


def head(layer: int, index: int) -> s.NodeLiteral:
    return s.NodeLiteral(node=Head(Layer(layer), HeadIndex(index)))


def mlp(layer: int) -> s.NodeLiteral:
    return s.NodeLiteral(node=Mlp(Layer(layer)))


def place(label: str, index: int | None = None, offset: int = 0) -> s.PositionExpr:
    return s.PositionExpr(label=label, index=index, offset=offset)


def at(*labels: str) -> s.PositionList:
    return s.PositionList(positions=tuple(place(label) for label in labels))


def one(source: str) -> s.Located:
    """The only statement of a text that must parse."""
    spec, diagnostics = parse(source)
    assert diagnostics == ()
    (statement,) = spec.statements
    return statement


def in_task(source: str) -> s.Located:
    task = one(f"circuitspec 1 task t {{ {source} }}")
    assert isinstance(task, s.Task)
    assert task.statements is not None
    (statement,) = task.statements
    return statement


def in_hypothesis(source: str) -> s.Located:
    hypothesis = one(f"circuitspec 1 hypothesis h {{ {source} }}")
    assert isinstance(hypothesis, s.Hypothesis)
    (statement,) = hypothesis.statements
    return statement


def in_expect(source: str) -> s.Located:
    expect = in_hypothesis(f"expect e {{ {source} }}")
    assert isinstance(expect, s.Expect)
    (statement,) = expect.actions + expect.requirements
    return statement


IO, S1 = ref("IO"), ref("S1")
LOGIT_IO = s.Call(function="logit", arguments=(IO,))
LOGIT_S1 = s.Call(function="logit", arguments=(S1,))
SUM = s.Binary(operator="+", left=ref("A"), right=ref("B"))

TASK = [
    ('template a "x {S1}"', s.Template(name=name("a"), text=text("x {S1}"))),
    (r'template a "\"\\\n\t\u{E9}"', s.Template(name=name("a"), text=text('"\\\n\té'))),
    (
        "slot IO, S1 from names.english distinct one_token",
        s.Slot(
            names=(name("IO"), name("S1")),
            source=ref("names.english"),
            constraints=(name("distinct"), name("one_token")),
        ),
    ),
    ("slot A from 0..63", s.Slot(names=(name("A"),), source=s.IntegerRange(first=0, last=63))),
    (
        'slot A from file "a.txt"',
        s.Slot(names=(name("A"),), source=s.WordsFile(path=text("a.txt"))),
    ),
    (
        "slot C = (A + B) mod 113",
        s.Slot(names=(name("C"),), value=s.Binary(operator="mod", left=SUM, right=number("113"))),
    ),
    (
        'words w = "a", "b"',
        s.Words(name=name("w"), source=s.WordList(words=(text("a"), text("b")))),
    ),
    (
        'table t { "a": "b", "c": "d", }',
        s.Table(name=name("t"), entries=((text("a"), text("b")), (text("c"), text("d")))),
    ),
    (
        "position NEXT = find(token = A) + 1",
        s.PositionDeclaration(
            name=name("NEXT"),
            value=s.Binary(
                operator="+",
                left=s.Call(function="find", keywords=(s.Keyword(name="token", value=ref("A")),)),
                right=number("1"),
            ),
        ),
    ),
    (
        "metric m = logit(IO) - logit(S1)",
        s.Metric(name=name("m"), value=s.Binary(operator="-", left=LOGIT_IO, right=LOGIT_S1)),
    ),
    (
        "baseline abc = resample(IO, S1)",
        s.Baseline(name=name("abc"), value=s.Call(function="resample", arguments=(IO, S1))),
    ),
    (
        "sample evaluation 200, reference 100 each template, pool 9, seed 0",
        s.Sample(
            evaluation=s.Count(number=200),
            reference=s.Count(number=100, each_template=True),
            pool=s.Count(number=9),
            seed=0,
        ),
    ),
    ("sample seed 3, all", s.Sample(evaluation="all", seed=3)),
    ("bos yes", s.Bos(prepend=True)),
    ("bos no", s.Bos(prepend=False)),
    ("tokens integer 0..63", s.Tokens(range=s.IntegerRange(first=0, last=63))),
    ("answers glued", s.Answers(style="glued")),
    ('prompts from "p.jsonl"', s.PromptsFile(path=text("p.jsonl"))),
]

HYPOTHESIS = [
    (
        'model "gpt2" revision "607a30d"',
        s.ModelStatement(reference=text("gpt2"), revision=text("607a30d")),
    ),
    ("task t", s.Task(name=name("t"))),
    (
        "role r = 9.10, L9H1, a9.h1, m3, m4..m6 carries token(IO), S1 attends S1+1 @ END, S2[-1]",
        s.Role(
            name=name("r"),
            nodes=(
                head(9, 10),
                head(9, 1),
                head(9, 1),
                mlp(3),
                s.NodeRange(first=mlp(4), last=mlp(6)),
            ),
            at=s.PositionList(positions=(place("END"), place("S2", -1))),
            attends=s.PositionList(positions=(place("S1", offset=1),)),
            carries=(s.Call(function="token", arguments=(IO,)), S1),
        ),
    ),
    (
        "role r = a0.h0 @ (A, B) attends (C, D)",
        s.Role(
            name=name("r"),
            nodes=(head(0, 0),),
            at=s.PositionList(positions=(place("A"), place("B")), paired=True),
            attends=s.PositionList(positions=(place("C"), place("D")), paired=True),
        ),
    ),
    (
        "role r = a0.h0 @ P[0]..P[3]",
        s.Role(
            name=name("r"),
            nodes=(head(0, 0),),
            at=s.PositionList(positions=(s.PositionExpr(label="P", index=0, end=place("P", 3)),)),
        ),
    ),
    ('open a7.h1 @ S2 "why"', s.Open(nodes=(head(7, 1),), at=at("S2"), reason=text("why"))),
    ("keep mlps @ *", s.Keep(targets=(ref("mlps"),), at=at("*"))),
    (
        "edge input, a -> b.kv, 9.10.q, m3.in, logits at END",
        s.Edge(
            senders=(s.NodeLiteral(node=INPUT), ref("a")),
            receivers=(
                s.Receiver(target=ref("b"), channels=("k", "v")),
                s.Receiver(target=head(9, 10), channels=("q",)),
                s.Receiver(target=mlp(3), channels=("in",)),
                s.Receiver(target=s.NodeLiteral(node=LOGITS)),
            ),
            at=at("END"),
        ),
    ),
    (
        "edge a -> m0..m3.in",
        s.Edge(
            senders=(ref("a"),),
            receivers=(
                s.Receiver(target=s.NodeRange(first=mlp(0), last=mlp(3)), channels=("in",)),
            ),
        ),
    ),
    ("edge within r at END", s.Edge(senders=(), receivers=(), within=name("r"), at=at("END"))),
    ("group g = a, b", s.Group(name=name("g"), roles=(name("a"), name("b")))),
    ("drop a", s.Drop(roles=(name("a"),))),
    ('sweep revision "1", "2"', s.Sweep(over="revision", values=(text("1"), text("2")))),
    ("sweep open", s.Sweep(over="open")),
    (
        '"""Doc."""protocol p { accept blind }',
        s.Protocol(name=name("p"), actions=(s.Accept(what=name("blind")),), doc="Doc."),
    ),
    (
        "expect refuted e under p { }",
        s.Expect(name=name("e"), refuted=True, under=name("p")),
    ),
]

MEAN = s.AblationValue(kind="mean", baseline=name("abc"), over="template")
MODEL = ref("model.m")
EXPECT = [
    (
        "ablate complement by nodes with mean from abc over template",
        s.Ablate(targets="complement", by="nodes", value=MEAN),
    ),
    ("ablate", s.Ablate()),
    (
        "ablate a, 9.10 with resample from abc draws 4",
        s.Ablate(
            targets=(ref("a"), head(9, 10)),
            value=s.AblationValue(kind="resample", baseline=name("abc"), draws=4),
        ),
    ),
    (
        "ablate by edges with noise 3.0",
        s.Ablate(by="edges", value=s.AblationValue(kind="noise", scale=number("3.0"))),
    ),
    ("patch a from abc", s.Patch(senders=(ref("a"),), baseline=name("abc"))),
    (
        "patch each a -> b.q, c -> logits from abc through mlps",
        s.Patch(
            mode="each",
            senders=(ref("a"),),
            hops=(
                (s.Receiver(target=ref("b"), channels=("q",)), s.Receiver(target=ref("c"))),
                (s.Receiver(target=s.NodeLiteral(node=LOGITS)),),
            ),
            baseline=name("abc"),
            through="mlps",
        ),
    ),
    ("scrub over task draws 4", s.Scrub(over=name("task"), draws=4)),
    ("scrub a over abc", s.Scrub(over=name("abc"), roles=(name("a"),))),
    ("given ablated a", s.Given(targets=(ref("a"),))),
    (
        "run from noised restore m4..m6 @ SUBJ[-1]",
        s.Run(
            baseline=name("noised"),
            restore=(s.NodeRange(first=mlp(4), last=mlp(6)),),
            at=s.PositionList(positions=(place("SUBJ", -1),)),
        ),
    ),
    (
        "knockouts random 100, roles, { a, m3 }, greedy 10x5x3",
        s.Knockouts(roles=True, random=100, greedy=(10, 5, 3), sets=((ref("a"), mlp(3)),)),
    ),
    (
        "each head given { g before it; a9.h0: g, n; b: role; role }",
        s.Each(
            unit="head",
            given=(
                s.GivenSet(given=(ref("g"),), before=True),
                s.GivenSet(members=(head(9, 0),), given=(ref("g"), ref("n"))),
                s.GivenSet(members=(ref("b"),)),
                s.GivenSet(),
            ),
        ),
    ),
    ("accept blind", s.Accept(what=name("blind"))),
    ("until decided, at most 2000", s.Until(at_most=2000)),
    (
        "require m >= 80% * model.m ci 95",
        s.Require(
            left=ref("m"),
            operator=">=",
            right=s.Binary(operator="*", left=number("80", percent=True), right=MODEL),
            level=number("95"),
        ),
    ),
    (
        "require m within 20% of model.m",
        s.Require(
            left=ref("m"), operator="within", right=MODEL, tolerance=number("20", percent=True)
        ),
    ),
    (
        "require each effect(9.10) == 1 +- 0.5",
        s.Require(
            left=s.Call(function="effect", arguments=(head(9, 10),)),
            operator="==",
            right=number("1"),
            tolerance=number("0.5"),
            each=True,
        ),
    ),
]


@pytest.mark.parametrize(("source", "record"), TASK, ids=lambda part: str(part)[:30])
def test_statements_of_a_task(source: str, record: s.Located) -> None:
    assert in_task(source) == record


@pytest.mark.parametrize(("source", "record"), HYPOTHESIS, ids=lambda part: str(part)[:30])
def test_statements_of_a_hypothesis(source: str, record: s.Located) -> None:
    assert in_hypothesis(source) == record


@pytest.mark.parametrize(("source", "record"), EXPECT, ids=lambda part: str(part)[:30])
def test_statements_of_a_claim(source: str, record: s.Located) -> None:
    assert in_expect(source) == record


def test_a_file() -> None:
    spec, diagnostics = parse(
        '"""About."""\ncircuitspec 1\nuse "a.circuit"\nuse b, c from "d.circuit"\n'
        '"""\n  Two\n    lines.\n"""\nhypothesis h refines g { }\n'
    )
    assert diagnostics == ()
    assert spec == s.SpecFile(
        version=1,
        doc="About.",
        statements=(
            s.Use(path=text("a.circuit")),
            s.Use(path=text("d.circuit"), names=(name("b"), name("c"))),
            s.Hypothesis(name=name("h"), refines=name("g"), doc="Two\n  lines."),
        ),
    )


@pytest.mark.parametrize("written", ["9.10", "L9H10", "a9.h10"])
def test_a_head_is_never_a_number(written: str) -> None:
    role = in_hypothesis(f"role r = {written} @ END")
    assert isinstance(role, s.Role)
    assert role.nodes == (head(9, 10),)
    require = in_expect(f"require attention({written}) >= 9.10")
    assert isinstance(require, s.Require)
    assert require.left == s.Call(function="attention", arguments=(head(9, 10),))
    assert require.right == number("9.10")


PRECEDENCE = [
    ("A + B * C", "A + (B * C)"),
    ("A - B - C", "(A - B) - C"),
    ("A / B * C", "(A / B) * C"),
    ("-A * B", "(-A) * B"),
    ("-f(A) at P + B", "(-(f(A) at P)) + B"),
    ("A + B >= C - D", "(A + B) >= (C - D)"),
    ("A mod B * C", "(A mod B) * C"),
]


@pytest.mark.parametrize(("loose", "explicit"), PRECEDENCE)
def test_precedence(loose: str, explicit: str) -> None:
    assert in_task(f"metric m = {loose}") == in_task(f"metric m = {explicit}")
    assert in_task(f"metric m = {loose}") != in_task("metric m = A")


def test_spans_point_at_what_they_are_of() -> None:
    source = "circuitspec 1\n\nhypothesis h {\n  role r = a9.h9,\n    m3 @ S1+1\n}  # end\n"
    spec, _ = parse(source, "h.circuit")
    (hypothesis,) = spec.hypotheses
    (role,) = hypothesis.statements
    assert isinstance(role, s.Role)

    def of(located: s.Located) -> str:
        return source[located.span.start : located.span.end]

    assert of(role) == "role r = a9.h9,\n    m3 @ S1+1"
    assert (role.span.line, role.span.column) == (4, 3)
    assert (role.span.end_line, role.span.end_column) == (5, 14)
    assert [of(node) for node in role.nodes] == ["a9.h9", "m3"]
    assert of(role.at.positions[0]) == "S1+1"
    assert of(role.name) == "r"
    assert [of(comment) for comment in spec.comments] == ["# end"]
    assert source[spec.header.start : spec.header.end] == "circuitspec 1"
    assert role.span.file == "h.circuit"
