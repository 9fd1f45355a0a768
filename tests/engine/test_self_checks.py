"""Self-checks pass on an honest engine, and each catches a bug planted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from circuitspec.engine import edges as by_edges
from circuitspec.engine import engine as engine_module
from circuitspec.engine import kernels, self_checks, sources, writes
from circuitspec.engine.audit import checks as hook_checks
from circuitspec.engine.audit.through_hooks import Handlers, SilentHookError, forward_through_hooks
from circuitspec.engine.batches import Batch
from circuitspec.engine.check import Computed
from circuitspec.engine.compiled import chunk, layers, subject
from circuitspec.engine.engine import Engine
from circuitspec.engine.forward import Edits
from circuitspec.engine.plan import by_paths, graph, layout
from circuitspec.engine.plan.by_paths import _second_pass as honest_second_pass
from circuitspec.engine.plan.graph import AS_BASE
from circuitspec.engine.runs import (
    LiveEdges,
    Means,
    Path,
    Readings,
    Replace,
    ReplaceAllBut,
    Rows,
    Run,
    Zero,
)
from circuitspec.engine.self_checks import Check, run_self_checks
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import (
    END,
    INPUT,
    LOGITS,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
)

from .models import NAMES, model
from .strategies import counterfactual, edges_of
from .worlds import World, world

FORWARD = "unmodified forward agrees with TransformerLens"
ITSELF = "patching everything with itself reproduces the model"
ANOTHER = "patching everything with another prompt gives that prompt"
FULL_NODES = "the full circuit by nodes is the model"
FULL_EDGES = "the full circuit by edges is the model"
PLANNED = "every intervention wrote what it meant to"
GIVEN = "knock-outs that claims are given are in force"
HOOKS = "interventions agree with TransformerLens's hooks"
EVERY = {FORWARD, ITSELF, ANOTHER, FULL_NODES, FULL_EDGES, PLANNED, GIVEN, HOOKS}

PLACE = world(8, size=6)


def claims(place: World = PLACE, name: str = "gpt2") -> list[Run]:
    """One run of every kind, as claims would ask for."""
    shape = model(name).loaded.shape
    twin, mean = counterfactual(place), Means("reference:abc", "template")
    early, late = Head(Layer(0), HeadIndex(1)), Head(Layer(shape.n_layers - 1), HeadIndex(0))
    nodes = frozenset({Element(early, Position("S1", 1)), Element(late, END)})
    edges = frozenset(edges_of(shape, END, Position("S1"))[::5])
    into = frozenset({(late, "q", END), (LOGITS, "", END)})
    path = Path(frozenset({Element(early, END), Element(INPUT, END)}), into, twin, "mlps")
    given = (Replace(frozenset({Element(early, Position("MID", 0, "*"))}), mean),)
    return [
        Run("evaluation"),
        Run("evaluation", writes=(ReplaceAllBut(nodes, mean),)),
        Run("evaluation", writes=(Replace(nodes, twin),)),
        Run("evaluation", edges=LiveEdges(edges, mean)),
        Run("evaluation", edges=LiveEdges(edges, twin, all_but=True)),
        Run("evaluation", path=path),
        Run("evaluation", path=replace(path, through="direct")),
        Run("evaluation", given=given, writes=(Replace(nodes, Zero()),)),
    ]


def check(
    engine: Engine, name: str = "gpt2", runs: Sequence[Run] | None = None, audit: Any = "sample"
) -> dict[str, Check]:
    computed = Computed(engine=engine, runs=claims(name=name) if runs is None else runs)
    return {c.name: c for c in run_self_checks(computed, model(name).loaded, audit)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, found in checks.items() if not found.passed}


def an_engine(make: Callable[..., Any], name: str = "gpt2", dtype: Any = torch.float32) -> Any:
    return make(model(name).weights(dtype), PLACE.sets, PLACE.metrics, batch_size=4)


# ── an honest engine ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_an_honest_engine_passes(name: str) -> None:
    checks = check(an_engine(Engine, name), name)
    assert failed(checks) == set()
    assert set(checks) == EVERY
    for found in checks.values():
        assert found.value is not None
        assert type(found.passed) is bool
        assert type(found.value) is float
        assert 0 <= found.value < 1e-5  # the tolerances leave a factor of some ten


@pytest.mark.parametrize("audit", ["sample", "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_executors_pass_in_both_precisions(
    make_engine: Callable[..., Any], dtype: Any, audit: Any
) -> None:
    checks = check(an_engine(make_engine, dtype=dtype), audit=audit)
    assert failed(checks) == set()
    if dtype == torch.float64:
        assert checks[FULL_EDGES].value < 1e-13


def test_what_was_checked_is_said(make_engine: Callable[..., Any]) -> None:
    engine = an_engine(make_engine)
    some, all_of = check(engine), check(engine, audit="all")
    assert some[HOOKS].detail.startswith("7 of 8 runs, 4 prompts each; difference in logits")
    assert all_of[HOOKS].detail.startswith("8 of 8 runs; difference in logits")
    assert "6 prompts" in some[FORWARD].detail
    assert "all 262 edges live" in some[FULL_EDGES].detail
    assert "in 8 runs" in some[PLANNED].detail
    assert "1 conditions" in some[GIVEN].detail


def test_runs_that_the_engine_refuses_are_left_out(make_engine: Callable[..., Any]) -> None:
    beyond = frozenset({Element(Mlp(Layer(9)), END)})
    refused = Run("evaluation", writes=(Replace(beyond, Zero()),))
    checks = check(an_engine(make_engine), runs=[refused, *claims()])
    assert failed(checks) == set()
    assert "in 8 runs" in checks[PLANNED].detail


def test_without_runs_the_model_itself_is_checked(make_engine: Callable[..., Any]) -> None:
    checks = check(an_engine(make_engine), runs=[])
    assert failed(checks) == set()
    assert set(checks) == EVERY - {GIVEN}


def test_no_two_prompts_of_one_length(make_engine: Callable[..., Any]) -> None:
    place = world(2, size=1)
    weights = model("gpt2").weights(torch.float32)
    engine = make_engine(weights, place.sets, place.metrics)
    checks = check(engine, runs=[Run("evaluation")])
    assert failed(checks) == set()
    assert "each is its own other" in checks[ANOTHER].detail


def test_metrics_of_several_places(make_engine: Callable[..., Any]) -> None:
    place = world(8, size=6, plain=False)
    weights = model("gpt2").weights(torch.float32)
    assert failed(check(make_engine(weights, place.sets, place.metrics))) == set()


def test_a_large_model_has_some_receivers_cut_instead(
    make_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitspec.engine import identities

    monkeypatch.setattr(identities, "MOST_EDGES", 100)
    checks = check(an_engine(make_engine))
    assert failed(checks) == set()
    assert "of 262 edges cut and read at their own values" in checks[FULL_EDGES].detail


# ── bugs that any executor could have ────────────────────────────────────────────────────────────


class Spoiled(Engine):
    """Computes other runs than it is asked for, and says that all was done as planned."""

    def spoil(self, run: Run) -> Run:
        raise NotImplementedError

    def evaluate(self, runs: Iterable[Run], progress: Any = None) -> list[Readings]:
        listed = list(runs)
        told = super().evaluate(listed)
        done = super().evaluate([self.spoil(run) for run in listed])
        return [replace(d, count=t.count) for d, t in zip(done, told, strict=True)]


class DoesNothing(Spoiled):
    """Interventions resolve, count what they would write, and do nothing."""

    def spoil(self, run: Run) -> Run:
        return replace(run, writes=(), edges=None, path=None)


class NoPaths(Spoiled):
    """Only path patching does nothing."""

    def spoil(self, run: Run) -> Run:
        return replace(run, path=None)


class NoEdges(Spoiled):
    """Only cutting edges does nothing."""

    def spoil(self, run: Run) -> Run:
        return replace(run, edges=None)


class OneToTheLeft(Spoiled):
    """Every write lands one token before its place."""

    def spoil(self, run: Run) -> Run:
        def moved(elements: frozenset[Element]) -> frozenset[Element]:
            return frozenset(replace(e, position=_left(e.position)) for e in elements)

        return replace(
            run,
            writes=tuple(
                replace(w, elements=moved(w.elements)) if isinstance(w, Replace) else w
                for w in run.writes
            ),
        )


def _left(position: Position) -> Position:
    if position.label in ("*", "BOS", "IO", "S1") or position.index is not None:
        return position
    return replace(position, offset=position.offset - 1)


class EdgesOneToTheLeft(Spoiled):
    """Every edge is read one token before its place."""

    def spoil(self, run: Run) -> Run:
        if run.edges is None:
            return run
        edges = frozenset(replace(e, position=_left(e.position)) for e in run.edges.edges)
        return replace(run, edges=replace(run.edges, edges=edges))


class OtherRows(Spoiled):
    """Values come from the wrong prompts."""

    def spoil(self, run: Run) -> Run:
        def turned(write: Any) -> Any:
            of = write.source
            if not isinstance(of, Rows) or len(of.rows) < 2:
                return write
            lengths = [len(self.sets[of.prompts].prompts[row].tokens) for row in of.rows]
            rows = list(of.rows)
            for length in set(lengths):
                group = [i for i, n in enumerate(lengths) if n == length]
                for i, j in zip(group, [*group[1:], group[0]], strict=True):
                    rows[i] = of.rows[j]
            return replace(write, source=Rows(of.prompts, tuple(rows)))

        return replace(run, writes=tuple(turned(write) for write in run.writes))


class GivenForgotten(Spoiled):
    """Knock-outs that a claim is given are not made."""

    def spoil(self, run: Run) -> Run:
        return replace(run, given=())


class OneHeadShort(Spoiled):
    """The circuit leaves out its last head."""

    def spoil(self, run: Run) -> Run:
        last = Head(Layer(2), HeadIndex(3))
        return replace(
            run,
            writes=tuple(
                replace(w, live=frozenset(e for e in w.live if e.node != last))
                if isinstance(w, ReplaceAllBut)
                else w
                for w in run.writes
            ),
        )


class OneEdgeShort(Spoiled):
    """One edge is missing wherever it is named."""

    def spoil(self, run: Run) -> Run:
        if run.edges is None:
            return run

        def missing(edge: Edge) -> bool:
            return (edge.sender, edge.receiver, edge.channel) == (INPUT, Mlp(Layer(0)), "in")

        kept = frozenset(edge for edge in run.edges.edges if not missing(edge))
        return replace(run, edges=replace(run.edges, edges=kept))


class DirectOnly(Spoiled):
    """`through mlps` is taken for `direct`."""

    def spoil(self, run: Run) -> Run:
        return replace(run, path=run.path and replace(run.path, through="direct"))


class OneReceiver(Spoiled):
    """Of several receivers only one is held."""

    def spoil(self, run: Run) -> Run:
        if run.path is None:
            return run
        one = frozenset(sorted(run.path.receivers, key=str)[:1])
        return replace(run, path=replace(run.path, receivers=one))


class WrongSum(Spoiled):
    """Means are taken over all positions at once, whatever was asked."""

    def spoil(self, run: Run) -> Run:
        def pooled(of: Any) -> Any:
            if isinstance(of.source, Means):
                return replace(of, source=replace(of.source, over="batch"))
            return of

        return replace(
            run,
            writes=tuple(pooled(write) for write in run.writes),
            edges=run.edges and pooled(run.edges),
        )


@pytest.mark.parametrize(
    ("bug", "caught_by"),
    [
        (DoesNothing, {ANOTHER, HOOKS}),
        (NoPaths, {ANOTHER, HOOKS}),
        (NoEdges, {ANOTHER, HOOKS}),
        (OneToTheLeft, {HOOKS}),
        (EdgesOneToTheLeft, {HOOKS}),
        (OtherRows, {ITSELF, ANOTHER, HOOKS}),
        (GivenForgotten, {GIVEN, HOOKS}),
        (OneHeadShort, {FULL_NODES}),
        (OneEdgeShort, {FULL_EDGES}),
        (DirectOnly, {HOOKS}),
        (OneReceiver, {HOOKS}),
        (WrongSum, {HOOKS}),
    ],
)
def test_an_engine_that_does_something_else_is_caught(
    bug: type[Spoiled], caught_by: set[str]
) -> None:
    """Though it says that all was done as planned."""
    weights = model("gpt2").weights(torch.float32)
    engine = bug(weights, PLACE.sets, PLACE.metrics, batch_size=4)
    checks = check(engine)
    assert failed(checks) >= caught_by
    assert checks[PLANNED].passed


# ── bugs inside the dense executor ───────────────────────────────────────────────────────────────


def dense(name: str = "gpt2") -> Engine:
    return Engine(
        model(name).weights(torch.float32),
        PLACE.sets,
        PLACE.metrics,
        batch_size=4,
        executor="dense",
    )


def test_a_write_that_counts_and_drops_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Edits.write

    def write(self: Edits, value: Tensor, written: Any) -> Tensor:
        honest(self, value, written)
        return value

    monkeypatch.setattr(Edits, "write", write)
    assert failed(check(dense())) >= {ANOTHER, HOOKS}


def test_a_write_that_misses_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last token of every mask is lost: fewer activations are written than planned."""
    honest = Batch.mask

    def mask(self: Batch, position: Position) -> Tensor:
        found = honest(self, position).clone()
        found[:, -1] = False
        return found

    monkeypatch.setattr(Batch, "mask", mask)
    checks = check(dense())
    assert failed(checks) >= {PLANNED, ANOTHER, HOOKS}
    assert "did not write what they were to: the first was to write" in checks[PLANNED].detail


def test_masks_off_by_one_of_the_right_size(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Batch.mask
    monkeypatch.setattr(
        Batch, "mask", lambda self, position: honest(self, position).roll(1, dims=1)
    )
    checks = check(dense())
    assert HOOKS in failed(checks)
    assert checks[PLANNED].passed
    assert checks[ANOTHER].passed  # everywhere is everywhere


def test_recordings_of_the_wrong_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sources.Sources._rows

    def rows(self: Any, source: Rows, batch: Batch, given: Any) -> Any:
        return honest(self, source, batch, given).map(lambda x: x.roll(1, dims=0))

    monkeypatch.setattr(sources.Sources, "_rows", rows)
    assert failed(check(dense())) >= {ITSELF, ANOTHER, HOOKS}


def test_a_head_that_is_never_live(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = writes.masks_by_node

    def masks(batch: Batch, elements: Any) -> Any:
        found = honest(batch, elements)
        return {node: mask for node, mask in found.items() if str(node) != "a1.h2"}

    monkeypatch.setattr(writes, "masks_by_node", masks)
    assert failed(check(dense())) >= {FULL_NODES}


def test_a_channel_that_ignores_its_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = by_edges.EdgeMasks.reads_of

    def exceptions(self: Any, receiver: Any, channel: Any) -> Any:
        return () if channel == "k" else honest(self, receiver, channel)

    monkeypatch.setattr(by_edges.EdgeMasks, "reads_of", exceptions)
    assert failed(check(dense())) >= {FULL_EDGES, PLANNED, HOOKS}


def test_knock_outs_that_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = engine_module.edits_for
    monkeypatch.setattr(
        engine_module, "edits_for", lambda s, batch, given, wanted: honest(s, batch, (), wanted)
    )
    assert failed(check(dense())) >= {GIVEN, HOOKS}


# ── bugs inside the compiled executor ────────────────────────────────────────────────────────────


def compiled(name: str = "gpt2") -> Engine:
    return Engine(
        model(name).weights(torch.float32),
        PLACE.sets,
        PLACE.metrics,
        batch_size=4,
        executor="compiled",
    )


def test_values_that_are_those_of_the_run_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An intervention that resolves and does nothing: it changes nothing, and is seen to."""
    honest = subject.Subject.table

    def table(self: Any, code: int) -> Any:
        return honest(self, AS_BASE)

    monkeypatch.setattr(subject.Subject, "table", table)
    engine = compiled()
    assert failed(check(engine)) >= {ANOTHER, HOOKS}
    (done,) = engine.evaluate([claims()[1]])
    assert done.touched.written == done.touched.planned > 0
    assert done.touched.changed == 0


def test_cut_heads_that_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut becomes nothing at all instead of its ablation value."""
    honest = layers.LayerStep._constant

    def constant(self: Any, codes: Any, place: Any) -> Tensor:
        return honest(self, np.zeros_like(codes), place)

    monkeypatch.setattr(layers.LayerStep, "_constant", constant)
    assert failed(check(compiled())) >= {ITSELF, ANOTHER, HOOKS}


def test_a_layout_that_misses_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = layout.Layout.where

    def where(self: Any, position: Position) -> tuple[int, ...]:
        return honest(self, position)[:-1]

    monkeypatch.setattr(layout.Layout, "where", where)
    assert failed(check(compiled())) >= {PLANNED, ANOTHER, HOOKS}


def test_instances_of_different_codes_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sharing goes too far: the first code that an MLP is cut to serves for all."""
    honest = graph.Graph.after_mlp

    def after_mlp(self: Any, layer: int, segment: int, mid: int, x: int, code: int) -> int:
        return honest(self, layer, segment, mid, x, min(code, 1))

    monkeypatch.setattr(graph.Graph, "after_mlp", after_mlp)
    assert failed(check(compiled())) >= {ANOTHER}


def test_rows_merged_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one position are taken for one whatever their tokens are."""
    honest = chunk.distinct

    def merged(tokens: Any, *keys: Any, merge: bool = True) -> Any:
        return honest(np.where(tokens >= 0, 0, tokens), merge=merge)

    monkeypatch.setattr(chunk, "distinct", merged)
    assert failed(check(compiled())) >= {ITSELF}


def test_held_channels_that_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Path patching's second pass runs, and holds nothing."""
    monkeypatch.setattr(by_paths, "_second_pass", lambda graph, held: honest_second_pass(graph, {}))
    assert failed(check(compiled())) >= {ANOTHER, HOOKS}


def test_knock_outs_that_the_base_run_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = subject.edits_for
    monkeypatch.setattr(
        subject, "edits_for", lambda s, batch, given, wanted: honest(s, batch, (), wanted)
    )
    assert failed(check(compiled())) >= {GIVEN, HOOKS}


# ── a model misread ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gpt2", {"eps": 1e-2}),
        ("gpt_neo", {"window": None}),
        ("llama", {"scale": 0.3}),
        ("qwen3", {"q_norm": None}),
        ("gpt_neox", {"rotary": None}),
        ("gpt2", {"activation": "gelu"}),
    ],
)
def test_an_architecture_misread(name: str, change: dict[str, Any]) -> None:
    """Wrong weights: all our own identities hold, and the model is another one."""
    weights = model(name).weights(torch.float32)

    def wrong(block: Any) -> Any:
        if "eps" in change:
            return replace(block, ln1=replace(block.ln1, **change))
        if "activation" in change:
            return replace(block, mlp=replace(block.mlp, **change))
        return replace(block, **change)

    misread = replace(weights, blocks=tuple(wrong(block) for block in weights.blocks))
    engine = Engine(misread, PLACE.sets, PLACE.metrics)
    checks = check(engine, name)
    assert failed(checks) == {FORWARD, HOOKS}


def test_a_value_that_is_not_a_number_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = kernels.logits
    monkeypatch.setattr(kernels, "logits", lambda *args: honest(*args) * float("nan"))
    assert failed(check(dense())) >= {FORWARD, ITSELF, ANOTHER, FULL_NODES, FULL_EDGES, HOOKS}


# ── hooks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_hook_that_never_fires_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hook_rot_q` of GPT-NeoX is listed by TransformerLens and never fires."""
    from circuitspec.engine.audit import through_hooks

    honest = through_hooks._Pass._hook

    def hook(self: Any, name: str, change: Any) -> Any:
        return honest(self, name.replace("hook_z", "hook_rot_q"), change)

    monkeypatch.setattr(through_hooks._Pass, "_hook", hook)
    subject = model("gpt_neox").loaded
    tokens = torch.zeros(1, 4, dtype=torch.int64)
    handlers = Handlers(z=lambda layer, z: z)
    with pytest.raises(SilentHookError, match="hook_rot_q fired 0 times"):
        forward_through_hooks(subject.bridge, subject.shape, tokens, handlers)
    checks = check(an_engine(Engine, "gpt_neox"), "gpt_neox")
    assert failed(checks) == {HOOKS}
    assert "hook_rot_q fired 0 times" in checks[HOOKS].detail


def test_the_bridge_is_left_as_it_was() -> None:
    subject = model("llama").loaded
    tokens = torch.randint(30, (2, 6), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = subject.bridge(tokens)
        check(an_engine(Engine, "llama"), "llama")
        assert torch.equal(subject.bridge(tokens), before)


def test_a_check_is_a_plain_record() -> None:
    record = Check(name="x", passed=True)
    assert (record.value, record.detail) == (None, "")
    assert self_checks.Check is Check


def test_the_tolerances_in_the_docs_are_those_of_the_code() -> None:
    from circuitspec.engine import identities

    text = (FilePath(__file__).parents[2] / "docs" / "semantics.md").read_text(encoding="utf-8")
    section = text[text.index("## Self-checks") :]
    assert section.count("| 3e-5 |") == 3
    assert f"than {hook_checks.MOST_STATES:,} states" in section
    assert self_checks.HOOK_TOLERANCE == 3e-5
    assert "2e-5; float64 1e-10" in section
    assert {torch.float32: 2e-5, torch.float64: 1e-10} == self_checks.TOLERANCE
    assert f"on {self_checks.FORWARD_PROMPTS} of them" in section
    assert f"up to {identities.IDENTITY_PROMPTS} of the prompts" in section
    assert f"more than {identities.MOST_EDGES:,} edges" in section
    assert (hook_checks.AUDITED_A_KIND, hook_checks.AUDITED_PROMPTS) == (2, 4)
    assert "two runs of every kind on four prompts each" in section
