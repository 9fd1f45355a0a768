"""`sweep`: a hypothesis becomes one for each model and revision named, and each open node swept in.

What is resolved does not depend on the model, so that a sweep only names another one. An open node
that is swept in is in the circuit as a kept node is: live where it is open, with every edge that
`keep` would add, and in no set K.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from circuitspec.hypothesis.records import Hypothesis, Kept
from circuitspec.language.syntax import ModelStatement, Sweep, Text


def swept(hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Every hypothesis once, or once for each combination of what it sweeps over.

    A variant's name says what it is of, `ioi [gpt2-medium]`; its `base` is the name in the text.
    Models and revisions that are listed take the place of the stated one.
    """
    found: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        variants: list[Hypothesis] = [hypothesis]
        for over in ("model", "revision", "open"):
            sweeps = [s for s in hypothesis.sweeps if s.over == over]
            if sweeps:
                variants = [v for one in variants for v in _variants(one, over, sweeps)]
        found |= {variant.name: variant for variant in variants}
    return tuple(found.values())


def _variants(one: Hypothesis, over: str, sweeps: Iterable[Sweep]) -> Iterator[Hypothesis]:
    values = [value for sweep in sweeps for value in sweep.values]
    match over:
        case "model":
            yield from (_with_model(one, value) for value in values)
        case "revision":
            yield from (_with_revision(one, value) for value in values)
        case _:
            yield _named(one, "open nodes out")
            yield from (_opened(one, i) for i in range(len(one.open_nodes)))


def _named(one: Hypothesis, what: str) -> Hypothesis:
    base = one.base or one.name
    inside = one.name[len(base) + 2 : -1]
    name = f"{base} [{inside}, {what}]" if inside else f"{base} [{what}]"
    return replace(one, name=name, base=base)


def _with_model(one: Hypothesis, model: Text) -> Hypothesis:
    """The stated revision is that of the stated model, and goes with no other."""
    revision = one.revision if model.value == one.model else None
    stated = tuple(
        replace(s, reference=model, revision=s.revision if revision else None, span=model.span)
        if isinstance(s, ModelStatement)
        else s
        for s in one.statements
    )
    variant = replace(one, model=model.value, revision=revision, statements=stated)
    return _named(variant, model.value)


def _with_revision(one: Hypothesis, revision: Text) -> Hypothesis:
    stated = tuple(
        replace(s, revision=revision, span=revision.span) if isinstance(s, ModelStatement) else s
        for s in one.statements
    )
    variant = replace(one, revision=revision.value, statements=stated)
    return _named(variant, f"revision {revision.value}")


def _opened(one: Hypothesis, index: int) -> Hypothesis:
    element, _ = one.open_nodes[index]
    kept = Kept(nodes=(element.node,), positions=(element.position,))
    others = (*one.open_nodes[:index], *one.open_nodes[index + 1 :])
    variant = replace(one, kept=(*one.kept, kept), open_nodes=others)
    return _named(variant, f"{element} in")
