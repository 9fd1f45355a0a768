"""What false alternatives to specs/ioi_mini.circuit would measure, claim by claim.

    python scripts/ioi_mini_controls.py [SPEC] [--draws 20]

Each threshold of a shipped spec lies between the model's value and that of the best false
alternative. Three kinds are measured here, on the spec's own prompts:

    empty       no role at all (claims on the complement only)
    shifted     the same heads one token off: IO+1 for IO, END-1 for END
    random      other heads, as many a layer and at the same positions, drawn with a seed;
                the one that comes closest to the claim is shown
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from circuitspec.claims import kinds
from circuitspec.claims.context import Context
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import Claim, Hypothesis
from circuitspec.hypothesis.resolve import resolve
from circuitspec.judge.contrast import Quotient, Size, statement
from circuitspec.language import syntax
from circuitspec.language.nodes import Head, HeadIndex, Layer
from circuitspec.language.parser import parse
from circuitspec.loading import load_spec
from circuitspec.model.load import load
from circuitspec.verification import prompt_sets

SPEC = Path(__file__).parent.parent / "specs" / "ioi_mini.circuit"


def shifted(role: syntax.Role) -> syntax.Role:
    def off(listed: syntax.PositionList) -> syntax.PositionList:
        positions = tuple(
            replace(p, offset=p.offset + (-1 if p.label == "END" else 1)) for p in listed.positions
        )
        return replace(listed, positions=positions)

    return replace(role, at=off(role.at), attends=role.attends and off(role.attends))


def other_heads(role: syntax.Role, n_heads: int, rng: random.Random) -> syntax.Role:
    """As many heads a layer, none of the role's own as far as the layer has others."""
    by_layer: dict[Layer, set[int]] = {}
    for node in role.nodes:
        assert isinstance(node, syntax.NodeLiteral)
        if not isinstance(node.node, Head):
            return role
        by_layer.setdefault(node.node.layer, set()).add(node.node.index)
    drawn = []
    for layer, own in by_layer.items():
        others = sorted(set(range(n_heads)) - own)
        chosen = rng.sample(others, min(len(own), len(others)))
        chosen += rng.sample(sorted(own), len(own) - len(chosen))
        drawn += [syntax.NodeLiteral(node=Head(layer, HeadIndex(i))) for i in sorted(chosen)]
    return replace(role, nodes=tuple(drawn))


def variant(tree: syntax.SpecFile, change: object) -> Hypothesis:
    """The first hypothesis with every role changed."""
    assert callable(change)
    statements = tuple(
        replace(
            s,
            statements=tuple(change(x) if isinstance(x, syntax.Role) else x for x in s.statements),
        )
        if isinstance(s, syntax.Hypothesis)
        else s
        for s in tree.statements
    )
    changed = replace(tree, statements=statements)
    (hypothesis, *_), _ = resolve(changed, base_dir=SPEC.parent)
    return hypothesis


def values(claim: Claim, context: Context) -> Iterator[tuple[str, float, float]]:
    """Each requirement's text, what its left side measures, and its bound, in the left's units."""
    measured = kinds.measure(claim, context)
    for requirement in claim.requirements:
        for arm in measured.arms:
            stated = statement(requirement, arm.series, tuple(context.metrics))
            left = stated.left
            if isinstance(left, Quotient | Size):
                raise TypeError("not used in this spec")
            yield requirement.text, left.mean(arm.series), stated.right.mean(arm.series)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("spec", nargs="?", type=Path, default=SPEC)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_spec(options.spec)
    bound = loaded.bound[0]
    tree, _ = parse(options.spec.read_text(encoding="utf-8"), str(options.spec))
    model, _ = load(bound.hypothesis.model, base_dir=options.spec.parent)
    assert model is not None
    assert bound.task is not None
    engine = Engine(model.weights, prompt_sets(bound.task), bound.task.metrics)
    rng = random.Random(0)
    rivals = {"true": [bound.hypothesis], "shifted": [variant(tree, shifted)]}
    rivals["random"] = [
        variant(tree, lambda r: other_heads(r, model.shape.n_heads, rng))
        for _ in range(options.draws)
    ]
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    bounds: dict[tuple[str, str], float] = {}
    for name, hypotheses in rivals.items():
        for hypothesis in hypotheses:
            context = Context(
                hypothesis=hypothesis,
                circuit=circuit_of(hypothesis, model.shape),
                task=bound.task,
                engine=engine,
                seed=bound.task.seed,
            )
            for claim in hypothesis.claims:
                try:
                    for text, left, right in values(claim, context):
                        rows.setdefault((claim.name, text), {}).setdefault(name, []).append(left)
                        bounds.setdefault((claim.name, text), right)
                    if name == "true" and "complement" in type(claim.intervention).__name__.lower():
                        empty = kinds.measure(claim, context).numbers["empty.logit_diff"]
                        rows[claim.name, claim.requirements[0].text]["empty"] = [empty]
                except EngineError as error:
                    print(f"{name}: {claim.name}: {error}")
    print("| claim | requirement | compared with | model | empty | shifted | random, closest |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (claim_name, text), found in rows.items():
        true = found["true"][0]
        closest = min(found.get("random", [float("nan")]), key=lambda v: abs(v - true))
        cells = [f"{true:.3f}"]
        for name in ("empty", "shifted"):
            cells.append(f"{found[name][0]:.3f}" if name in found else "")
        bound_at = bounds[claim_name, text]
        print(f"| {claim_name} | `{text}` | {bound_at:.3f} | {' | '.join(cells)} | {closest:.3f} |")


if __name__ == "__main__":
    main()
