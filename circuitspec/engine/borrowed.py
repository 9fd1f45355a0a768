"""Whether measures that other packages bring can be used, seen before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from circuitspec.task.records import Metric
from circuitspec.task.registered import Registered

PROBED = 2, 3
"""Places and answers that a measure is tried on: it gives one value for each answer at a place."""


def unusable(metrics: Iterable[Metric], vocabulary: int) -> Iterator[str]:
    """A sentence for each measure that cannot be loaded, or does not give a value a token."""
    used = (term.quantity for metric in metrics for term in metric.terms)
    for measure in dict.fromkeys(used):
        if not isinstance(measure, Registered):
            continue
        try:
            function = measure.load()
        except Exception as error:  # to import it is to run it
            yield f"{measure} cannot be loaded: {error}"
            continue
        logits = torch.zeros(PROBED[0], vocabulary, dtype=torch.float64)
        try:
            values = function(logits, torch.zeros(PROBED, dtype=torch.int64))
        except Exception as error:
            yield f"{measure} fails: {type(error).__name__}: {error}"
            continue
        if not isinstance(values, torch.Tensor):
            yield f"{measure} gives no tensor, but a value of type {type(values).__name__}"
            continue
        shape = tuple(values.shape)
        if shape != PROBED:
            yield f"{measure} gives values of shape {shape} for tokens of shape {PROBED}"
