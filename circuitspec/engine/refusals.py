"""What cannot mean anything is refused before it is computed, in one sentence for the author.

The checker catches most of this without a model; what is left depends on data, or comes from code
that builds runs itself. Anything let through here would fail somewhere inside a tensor library, or
worse: do nothing, silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from circuitspec.engine.lens import refuse_reading
from circuitspec.engine.readings import metric_places
from circuitspec.engine.runs import (
    EngineError,
    Hop,
    Means,
    Noised,
    Path,
    Replace,
    Rows,
    Run,
    Source,
    Write,
)
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Channel, Head, Input, Logits, Mlp, is_upstream
from circuitspec.task.records import Metric, PromptSet


def refuse_run(
    run: Run,
    shape: ModelShape,
    sets: Mapping[str, PromptSet],
    metrics: Mapping[str, Metric],
) -> None:
    """Raise EngineError if `run` cannot be computed on a model of `shape`.

    Positions are looked up where they are used, and refused there.
    """
    if sum((bool(run.writes), run.edges is not None, run.path is not None)) > 1:
        raise EngineError("a run replaces outputs, or edges, or patches a path: one of them")
    prompts = known_set(run.prompts, sets)
    if run.rows is not None and not (
        run.rows and 0 <= min(run.rows) <= max(run.rows) < len(prompts)
    ):
        raise EngineError(f"{prompts.name} has no such prompts as are asked for: {run.rows[:5]}")
    for write in (*run.given, *run.writes):
        _refuse_write(write, shape, prompts, sets)
    if run.edges is not None:
        refuse_edges(run.edges.edges, shape)
        _refuse_source(run.edges.source, prompts, sets)
    if run.onward and run.path is None:
        raise EngineError("a path goes on, and does not begin")
    if run.path is not None:
        steps: tuple[Path | Hop, ...] = (run.path, *run.onward)
        for step in steps:
            for element in sorted(step.senders, key=str):
                refuse_node(element.node, shape)
            for node, channel, _ in sorted(step.receivers, key=str):
                refuse_receiver(node, channel, shape)
        passed = {node for step in steps for node, _, _ in step.receivers}
        for element in sorted((e for hop in run.onward for e in hop.senders), key=str):
            if element.node not in passed:
                raise EngineError(f"the path goes on from {element.node}, and nothing leads there")
        _refuse_source(run.path.source, prompts, sets)
    for reading in run.attention:
        refuse_node(reading.head, shape)
    for share in run.attribution:
        refuse_node(share.element.node, shape)
        if share.metric not in metrics:
            raise EngineError(f"there is no metric {share.metric} to attribute {share.element} to")
    if run.residual and run.edges is not None:
        raise EngineError("by edges no residual stream is shared: there is none to read")
    for which in run.residual:
        refuse_reading(which, shape, metrics)


def sets_of(run: Run) -> set[str]:
    """The names of the prompt sets that a run feeds to the model."""
    sources = [write.source for write in (*run.given, *run.writes)]
    sources += [part.source for part in (run.edges, run.path) if part is not None]
    found = {run.prompts}
    for source in sources:
        if isinstance(source, Means):
            found.add(source.reference)
        elif isinstance(source, Rows):
            found.add(source.prompts)
    return found


def refuse_prompts(prompts: PromptSet, shape: ModelShape) -> None:
    """Raise EngineError for prompts that the model cannot be fed."""
    if not len(prompts):
        raise EngineError(f"{prompts.name} has no prompts")
    for prompt in prompts:
        if not prompt.tokens:
            raise EngineError(f"prompt {prompt.index} of {prompts.name} has no tokens")
        if len(prompt.tokens) > shape.n_ctx:
            raise EngineError(
                f"prompt {prompt.index} of {prompts.name} has {len(prompt.tokens)} tokens, and the "
                f"model reads at most {shape.n_ctx}"
            )
        if not 0 <= min(prompt.tokens) <= max(prompt.tokens) < shape.d_vocab:
            raise EngineError(
                f"prompt {prompt.index} of {prompts.name} has a token outside the model's "
                f"vocabulary of {shape.d_vocab}"
            )


def refuse_metric(metric: Metric, prompts: PromptSet, shape: ModelShape) -> None:
    """Raise EngineError for a metric that cannot be read on `prompts`.

    A set of answers may be empty in some prompts (`greater(99)`): the sum over it is 0. It may not
    be empty in all of them.
    """
    for term in metric.terms:
        if term.next_token:
            continue
        named = 0
        for prompt in prompts:
            if term.answer not in prompt.answers:
                raise EngineError(
                    f"{metric.name} is of {term.answer}, and prompt {prompt.index} of "
                    f"{prompts.name} has no such answer"
                )
            tokens = prompt.answers[term.answer]
            named += len(tokens)
            if any(not 0 <= token < shape.d_vocab_out for token in tokens):
                raise EngineError(
                    f"{term.answer} in prompt {prompt.index} of {prompts.name} is a token outside "
                    f"the {shape.d_vocab_out} that the model predicts"
                )
        if not named:
            raise EngineError(f"{term.answer} names no token in any prompt of {prompts.name}")
    for prompt in prompts:
        metric_places(metric, prompt)


def known_set(name: str, sets: Mapping[str, PromptSet]) -> PromptSet:
    """The prompt set of that name; EngineError where there is none."""
    if name not in sets:
        raise EngineError(f"there are no prompts called {name}, only {', '.join(sorted(sets))}")
    return sets[name]


def refuse_node(node: Head | Mlp | Input, shape: ModelShape) -> None:
    """Refuse a node that the model does not have."""
    match node:
        case Head(layer=layer, index=index):
            if layer >= shape.n_layers or index >= shape.n_heads:
                raise EngineError(
                    f"the model has no {node}: {shape.n_layers} layers of {shape.n_heads} heads"
                )
        case Mlp(layer=layer):
            if not shape.has_mlps:
                raise EngineError(f"the model has no {node}: it is attention only")
            if layer >= shape.n_layers:
                raise EngineError(f"the model has no {node}: {shape.n_layers} layers")
        case Input():
            pass


def refuse_receiver(node: Head | Mlp | Logits, channel: Channel, shape: ModelShape) -> None:
    """Refuse a receiver that the model does not have, or that has no such channel."""
    match node:
        case Head():
            known: tuple[Channel, ...] = ("q", "k", "v")
        case Mlp():
            known = ("in",)
        case Logits():
            known = ("",)
    if not isinstance(node, Logits):
        refuse_node(node, shape)
    if channel not in known:
        raise EngineError(f"{node} has no channel {channel or 'of that kind'} to be read by")


def refuse_edges(edges: Iterable[Edge], shape: ModelShape) -> None:
    """Refuse edges that the model does not have: they would be read as silently absent."""
    for edge in sorted(edges, key=str):
        refuse_node(edge.sender, shape)
        refuse_receiver(edge.receiver, edge.channel, shape)
        if not is_upstream(edge.sender, edge.receiver, parallel=shape.parallel):
            raise EngineError(f"edge {edge} does not run forward")


def _refuse_write(
    write: Write, shape: ModelShape, prompts: PromptSet, sets: Mapping[str, PromptSet]
) -> None:
    elements = write.elements if isinstance(write, Replace) else write.live
    for element in sorted(elements, key=str):
        refuse_node(element.node, shape)
    _refuse_source(write.source, prompts, sets)


def _refuse_source(source: Source, prompts: PromptSet, sets: Mapping[str, PromptSet]) -> None:
    match source:
        case Noised(positions=positions, sd=sd):
            if not positions or not sd > 0.0:
                raise EngineError("noise needs positions, and a standard deviation above 0")
        case Means(reference=reference):
            known_set(reference, sets)
        case Rows(prompts=name, rows=rows):
            others = known_set(name, sets)
            if len(rows) != len(prompts):
                raise EngineError(
                    f"{len(rows)} prompts of {name} are paired with {len(prompts)} of "
                    f"{prompts.name}: each needs one"
                )
            for prompt, row in zip(prompts, rows, strict=True):
                if not 0 <= row < len(others):
                    raise EngineError(f"{name} has no prompt {row}: it has {len(others)}")
                other = others.prompts[row]
                if len(other.tokens) != len(prompt.tokens):
                    raise EngineError(
                        f"prompt {prompt.index} of {prompts.name} has {len(prompt.tokens)} tokens "
                        f"and is paired with prompt {other.index} of {name}, which has "
                        f"{len(other.tokens)}: values could not correspond by token index"
                    )
