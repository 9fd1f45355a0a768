"""Hypothesis strategies that make syntax trees: every record, every field, every choice."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from circuitspec.language import syntax as s
from circuitspec.language.names import CHANNELS, NODE_FUNCTIONS, near_node, reserved
from circuitspec.language.nodes import INPUT, LOGITS, Head, HeadIndex, Layer, Mlp
from circuitspec.language.tables import tables
from circuitspec.language.terms import clean_doc

_WORDS = frozenset(word for word in tables().literals if word[0].isalpha())


def is_free(name: str) -> bool:
    """Whether a name means nothing else anywhere, so that a tree with it has one reading."""
    return name not in _WORDS and reserved(name) is None and near_node(name) is None


identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(is_free)
dotted = st.builds(lambda a, b: f"{a}.{b}", identifiers, identifiers).filter(
    lambda text: text.rpartition(".")[2] not in CHANNELS and near_node(text) is None
)
names = identifiers.map(lambda text: s.Name(text=text))
refs = (identifiers | dotted).map(lambda name: s.Ref(name=name))
plain_refs = identifiers.map(lambda name: s.Ref(name=name))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(
    lambda value: s.Text(value=value)
)
docs = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
    clean_doc
).filter(lambda doc: clean_doc(doc) == doc)
counts = st.integers(1, 10**6)
naturals = st.integers(0, 10**6)
numbers = st.builds(
    lambda whole, part, percent: s.Number(text=f"{whole}{part}", percent=percent),
    naturals,
    st.sampled_from(["", ".5", ".10", ".25e3", "e-5"]),
    st.booleans(),
)
levels = st.sampled_from(["90", "95", "99", "99.9"]).map(lambda text: s.Number(text=text))
heads = st.builds(
    lambda layer, index: s.NodeLiteral(node=Head(Layer(layer), HeadIndex(index))),
    st.integers(0, 99),
    st.integers(0, 99),
)
mlps = st.integers(0, 99).map(lambda layer: s.NodeLiteral(node=Mlp(Layer(layer))))
nodes = heads | mlps | st.sampled_from([s.NodeLiteral(node=INPUT), s.NodeLiteral(node=LOGITS)])
ranges = st.builds(lambda a, b: s.NodeRange(first=a, last=b), nodes, nodes)
targets = plain_refs | nodes | ranges
indices = st.none() | st.integers(-9, 9) | st.just("*")


def tuples(of: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[Any]:
    """Tuples of a few."""
    return st.lists(of, min_size=least, max_size=most).map(tuple)


def optional(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Or nothing."""
    return st.none() | of


# ── expressions and positions ────────────────────────────────────────────────────────────────────

simple_positions = st.builds(
    s.PositionExpr, label=identifiers | st.sampled_from(["END", "BOS"]), index=indices,
    offset=st.integers(-5, 5),
) | st.just(s.PositionExpr(label="*"))  # fmt: skip
ranged_positions = st.builds(
    lambda a, b: s.PositionExpr(label=a.label, index=a.index, offset=a.offset, end=b),
    simple_positions,
    simple_positions,
)
position_exprs = simple_positions | ranged_positions
position_lists = st.builds(s.PositionList, positions=tuples(position_exprs), paired=st.booleans())

node_calls = st.builds(
    s.Call,
    function=st.sampled_from(sorted(NODE_FUNCTIONS)),
    arguments=tuples(plain_refs | heads),
)
subscripts = st.builds(s.Subscript, label=plain_refs, index=st.integers(-9, 9) | st.just("*"))
atoms = numbers | texts | refs | nodes | subscripts | node_calls
OPERATORS = ["+", "-", "*", "/", "mod", "==", "!=", "<", "<=", ">", ">="]


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keywords = st.builds(s.Keyword, name=identifiers, value=inner)
    calls = st.builds(
        s.Call,
        function=identifiers.filter(lambda name: name not in NODE_FUNCTIONS),
        arguments=tuples(inner, 0),
        keywords=st.lists(keywords, max_size=2, unique_by=lambda k: k.name).map(tuple),
    )
    return (
        st.builds(s.Binary, operator=st.sampled_from(OPERATORS), left=inner, right=inner)
        | st.builds(s.Unary, operator=st.just("-"), operand=inner)
        | st.builds(s.At, value=inner, position=position_exprs)
        | calls
    )


expressions = st.recursive(atoms, _grown, max_leaves=8)

# ── task ─────────────────────────────────────────────────────────────────────────────────────────

integer_ranges = st.builds(s.IntegerRange, first=naturals, last=naturals)
word_lists = st.builds(s.WordList, words=tuples(texts))
words_files = st.builds(s.WordsFile, path=texts)
word_sources = word_lists | words_files | integer_ranges
constraints = st.lists(st.sampled_from(["distinct", "one_token", "same_tokens"]), unique=True).map(
    lambda words: tuple(s.Name(text=word) for word in words)
)
words = st.builds(s.Words, name=names, source=word_sources)
samples = st.builds(
    s.Sample,
    evaluation=st.just("all") | st.builds(s.Count, number=counts, each_template=st.booleans()),
    reference=optional(
        st.just("all") | st.builds(s.Count, number=counts, each_template=st.booleans())
    ),
    pool=optional(st.builds(s.Count, number=counts, each_template=st.booleans())),
    seed=optional(naturals),
)
task_statements = st.one_of(
    st.builds(s.Template, name=names, text=texts),
    st.builds(s.Slot, names=tuples(names), source=refs | word_sources, constraints=constraints),
    st.builds(s.Slot, names=tuples(names), value=expressions, constraints=constraints),
    words,
    st.builds(s.Table, name=names, entries=tuples(st.tuples(texts, texts))),
    st.builds(s.PositionDeclaration, name=names, value=expressions),
    st.builds(s.Metric, name=names, value=expressions),
    st.builds(s.Baseline, name=names, value=expressions),
    samples,
    st.builds(s.Bos, prepend=st.booleans()),
    st.builds(s.Tokens, range=integer_ranges),
    st.builds(s.Answers, style=st.sampled_from(["spaced", "glued"])),
    st.builds(s.PromptsFile, path=texts),
)
tasks = st.builds(s.Task, name=names, statements=optional(tuples(task_statements, 0, 5)), doc=docs)

# ── circuit ──────────────────────────────────────────────────────────────────────────────────────

channels = st.sampled_from([(), *CHANNELS.values()])
receivers = st.builds(s.Receiver, target=targets, channels=channels)
role_nodes = tuples(nodes | ranges)
edges = st.builds(
    s.Edge, senders=tuples(targets), receivers=tuples(receivers), at=optional(position_lists)
) | st.builds(
    lambda within, at: s.Edge(senders=(), receivers=(), within=within, at=at),
    names,
    optional(position_lists),
)
circuit_statements = st.one_of(
    st.builds(s.ModelStatement, reference=texts, revision=optional(texts)),
    st.builds(
        s.Role,
        name=names,
        nodes=role_nodes,
        at=position_lists,
        attends=optional(position_lists),
        carries=tuples(expressions, 0),
    ),
    st.builds(s.Open, nodes=role_nodes, at=position_lists, reason=texts),
    st.builds(s.Keep, targets=tuples(targets), at=position_lists),
    edges,
    st.builds(s.Group, name=names, roles=tuples(names)),
    st.builds(s.Drop, roles=tuples(names)),
    st.builds(s.Sweep, over=st.sampled_from(["model", "revision"]), values=tuples(texts)),
    st.just(s.Sweep(over="open")),
)

# ── claims ───────────────────────────────────────────────────────────────────────────────────────

values = st.one_of(
    st.just(s.AblationValue(kind="zero")),
    st.builds(
        s.AblationValue,
        kind=st.just("mean"),
        baseline=names,
        over=st.sampled_from(["template", "position", "batch"]),
    ),
    st.builds(s.AblationValue, kind=st.just("resample"), baseline=names, draws=naturals),
    st.builds(s.AblationValue, kind=st.just("counterfactual"), baseline=names),
    st.builds(s.AblationValue, kind=st.just("noise"), scale=numbers),
)
knockouts = st.builds(
    s.Knockouts,
    groups=st.booleans(),
    roles=st.booleans(),
    random=optional(naturals),
    greedy=optional(st.tuples(counts, counts, counts)),
    sets=tuples(tuples(targets), 0, 2),
).filter(lambda k: k != s.Knockouts())
given_sets = st.builds(
    s.GivenSet, members=tuples(targets, 0), given=tuples(targets), before=st.booleans()
) | st.builds(s.GivenSet, members=tuples(targets, 0))
actions = st.one_of(
    st.builds(
        s.Ablate,
        targets=optional(st.just("complement") | tuples(targets)),
        by=optional(st.sampled_from(["nodes", "edges"])),
        value=optional(values),
    ),
    st.builds(
        s.Patch,
        mode=optional(st.sampled_from(["all", "each"])),
        senders=tuples(targets),
        hops=tuples(tuples(receivers), 0, 2),
        baseline=names,
        through=optional(st.sampled_from(["direct", "mlps"])),
    ),
    st.builds(s.Scrub, over=names, draws=optional(naturals), roles=tuples(names, 0)),
    st.builds(s.Given, targets=tuples(targets)),
    st.builds(s.Run, baseline=names),
    st.builds(s.Run, baseline=names, restore=tuples(targets), at=optional(position_lists)),
    knockouts,
    st.builds(
        s.Each,
        unit=st.sampled_from(["head", "node", "role", "edge"]),
        given=tuples(given_sets, 0),
    ),
    st.builds(s.Accept, what=names),
    st.builds(s.Until, at_most=naturals),
)
requires = st.one_of(
    st.builds(
        s.Require,
        left=expressions,
        operator=st.sampled_from([">=", "<=", ">", "<"]),
        right=expressions,
        level=optional(levels),
        each=st.booleans(),
    ),
    st.builds(
        s.Require,
        left=expressions,
        operator=st.just("within"),
        right=expressions,
        tolerance=numbers,
        level=optional(levels),
        each=st.booleans(),
    ),
    st.builds(
        s.Require,
        left=expressions,
        operator=st.just("=="),
        right=expressions,
        tolerance=optional(numbers),
        level=optional(levels),
        each=st.booleans(),
    ),
)
protocols = st.builds(s.Protocol, name=names, actions=tuples(actions, 0), doc=docs)
expects = st.builds(
    s.Expect,
    name=names,
    refuted=st.booleans(),
    under=optional(names),
    actions=tuples(actions, 0),
    requirements=tuples(requires, 0),
    doc=docs,
)
hypotheses = st.builds(
    s.Hypothesis,
    name=names,
    refines=optional(names),
    statements=tuples(circuit_statements | tasks | protocols | expects, 0, 6),
    doc=docs,
)
uses = st.builds(s.Use, path=texts, names=tuples(names, 0))
specs = st.builds(
    s.SpecFile,
    version=st.just(1),
    statements=tuples(st.one_of(uses, words, tasks, protocols, hypotheses), 0, 3),
    doc=docs,
)
