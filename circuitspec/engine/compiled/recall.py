"""Base runs that are known already, put together anew for prompts cut otherwise into batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from circuitspec.engine.forward import Trace

Known = tuple[Trace, int]
"""A trace, and the place of a prompt in it."""


def recalled(rows: Sequence[int], known: dict[int, Known]) -> Trace | None:
    """The trace of `rows`, of one length, from traces that hold them; None if any is missing."""
    if not all(row in known for row in rows):
        return None
    sources: dict[int, tuple[Trace, list[int], list[int]]] = {}
    for place, row in enumerate(rows):
        trace, index = known[row]
        _, taken, places = sources.setdefault(id(trace), (trace, [], []))
        taken.append(index)
        places.append(place)
    parts = [(trace, taken) for trace, taken, _ in sources.values()]
    order = [place for _, _, places in sources.values() for place in places]
    back = torch.tensor(order).argsort()

    def gathered(tensors: Iterable[Tensor]) -> Tensor:
        found = [
            tensor[torch.tensor(taken, device=tensor.device)]
            for tensor, (_, taken) in zip(tensors, parts, strict=True)
        ]
        return found[0] if len(found) == 1 else torch.cat(found)[back.to(found[0].device)]

    traces = [trace for trace, _ in parts]
    layers = range(len(traces[0].z))

    def mlp(layer: int) -> Tensor | None:
        outputs = [out for trace in traces if (out := trace.mlps[layer]) is not None]
        return gathered(outputs) if outputs else None

    return Trace(
        gathered(t.input for t in traces),
        tuple(gathered(t.z[n] for t in traces) for n in layers),
        tuple(mlp(n) for n in layers),
        tuple(gathered(t.pre[n] for t in traces) for n in layers),
        tuple(gathered(t.mid[n] for t in traces) for n in layers),
        gathered(t.final for t in traces),
        {},
    )
