"""Any run once more, by the slow path through TransformerLens's hooks, to audit the engine by.

Positions, ablation values, interventions and metrics are worked out anew from their definitions;
of the engine's own code nothing is used but the records of `runs`. Prompts of one length at a
time, on the CPU, in the bridge's float32.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from circuitspec.engine.audit.readings import Figure, rows_of
from circuitspec.engine.audit.run import AT_ONCE, Part, Subject
from circuitspec.engine.runs import Floats, Run
from circuitspec.model.load import LoadedModel
from circuitspec.task.records import Metric, PromptSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A run's figures by the slow path: float64, one value for each of the rows asked for.

    `slack` says how far each metric moves, at most, when every logit moves by `margin`. `read`:
    what else the run was asked for, by (metric, "kl") or by reading, with its own slack. `top`: by
    metric, all tokens that may be a row's most likely one.
    """

    metrics: Mapping[str, Floats]
    slack: Mapping[str, Floats]
    read: Mapping[Hashable, tuple[Floats, Floats]]
    top: Mapping[str, tuple[frozenset[int], ...]]


class Audit:
    """The slow path on one model and its prompt sets."""

    def __init__(
        self, model: LoadedModel, sets: Mapping[str, PromptSet], metrics: Mapping[str, Metric]
    ) -> None:
        self.subject = Subject(model, sets, metrics)
        self.sets = sets
        self.metrics = metrics

    @torch.no_grad()
    def evaluate(self, run: Run, rows: Sequence[int], margin: float = 0.0) -> Audited:
        """The metrics of `run` on some rows of its prompts.

        Raises SilentHookError where a hook did not fire.
        """
        prompts = self.sets[run.prompts].prompts
        found: dict[Hashable, dict[int, Figure]] = {}
        top: dict[str, dict[int, frozenset[int]]] = {}
        for places in rows_of([len(prompts[row].tokens) for row in rows], AT_ONCE):
            part = Part(self.subject, run, [rows[i] for i in places])
            for key, values in part.figures(margin).items():
                found.setdefault(key, {}).update(zip(places, values, strict=True))
            if run.top:
                for name, tokens in part.top(margin).items():
                    top.setdefault(name, {}).update(zip(places, tokens, strict=True))

        def column(key: Hashable, which: int) -> Floats:
            return np.array([found[key][i][which] for i in range(len(rows))], dtype=np.float64)

        return Audited(
            metrics={name: column(name, 0) for name in self.metrics},
            slack={name: column(name, 1) for name in self.metrics},
            read={k: (column(k, 0), column(k, 1)) for k in found if k not in self.metrics},
            top={n: tuple(of[i] for i in range(len(rows))) for n, of in top.items()},
        )
