"""H040: a layer, head or MLP that the model does not have."""

from __future__ import annotations

from typing import TypeGuard

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import literals, parts, requirements
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape, exists
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.language.nodes import Head, Mlp, is_upstream

NAME = "beyond-the-model"
CODE = "H040"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Nodes and layers that do not exist, and edges that parallel blocks do not have."""
    if shape is None:
        return ()
    found: dict[tuple[object, Span], Diagnostic] = {}
    for node, span in literals(hypothesis):
        if not exists(node, shape):
            # One range or literal, one message, however many of its nodes are missing.
            found.setdefault(
                (None, span),
                Diagnostic(
                    code=CODE,
                    message=f"the model has no `{node}`",
                    span=span,
                    hint=_has(node, shape),
                ),
            )
    for _, require in requirements(hypothesis):
        for side in (require.left, require.right):
            for part in parts(side):
                if isinstance(part, syntax.Call) and part.function == "logit_lens":
                    for layer in part.arguments:
                        if _too_high(layer, shape):
                            message = f"the model has no layer {layer.text}"
                            hint = _has(None, shape)
                            found[layer.text, layer.span] = Diagnostic(
                                code=CODE, message=message, span=layer.span, hint=hint
                            )
    return (*found.values(), *_parallel(hypothesis, shape))


def _too_high(layer: syntax.Expr, shape: ModelShape) -> TypeGuard[syntax.Number]:
    return isinstance(layer, syntax.Number) and layer.value >= shape.n_layers


def _has(node: object, shape: ModelShape) -> str:
    if isinstance(node, Mlp) and not shape.has_mlps:
        return "it has attention only, no MLPs"
    heads = f" of {shape.n_heads} heads (h0 to h{shape.n_heads - 1})" if node else ""
    return f"it has {shape.n_layers} layers, a0 to a{shape.n_layers - 1},{heads}".rstrip(",")


def _parallel(hypothesis: Hypothesis, shape: ModelShape) -> Findings:
    """Lines that only hold where a block's MLP reads its own heads."""
    if not shape.parallel:
        return ()
    found = []
    for part in hypothesis.edges:
        lost = [e for e in part.edges if not is_upstream(e.sender, e.receiver, parallel=True)]
        if lost and isinstance(lost[0].sender, Head):
            message = (
                f"`{lost[0]}`: in this model attention and MLP of one layer read the same input"
            )
            hint = "the blocks are parallel; an MLP reads heads of lower layers only"
            found.append(Diagnostic(code=CODE, message=message, span=part.span, hint=hint))
    return tuple(found)
