"""One kind of claim of a story: how a spec says it, and the number that decides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proving.machine import Array

Unit = Literal["of model", "plain"]
Over = Literal["one", "each", "largest size", "smallest size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is compared with the threshold, exactly.

    `parts` are signed series over the population [n]. Divided by the mean of `under` (the model's
    metric, or what a ratio is over), their means are the values. `over` says what becomes of
    several: each must pass, or the size of the largest or smallest counts. `blind`: a faithfulness
    claim on a mean, with agreement below one half or the mean error above half of the model's.
    `still`: some intervention leaves the metric of every prompt as it was, as inert ones do.
    `error`: the standard error of a value that is a mean over draws, 0 of one that is exact.
    `may_be`: the least and most that the value of a search comes to, whichever prompts it sees.
    """

    parts: tuple[Array, ...]
    under: Array | None = None
    over: Over = "one"
    blind: bool = False
    still: bool = False
    error: float = 0.0
    may_be: tuple[float, float] | None = None

    def value(self, operator: str) -> float:
        """The number that `operator` compares."""
        under = 1.0 if self.under is None else float(self.under.mean())
        means = [float(part.mean()) / under for part in self.parts]
        if self.over == "one":
            (mean,) = means
            return mean
        if self.over == "each":
            return min(means) if operator == ">=" else max(means)
        sizes = [abs(mean) for mean in means]
        # `effect <= t` is of every element, `effect >= t` too; one K is enough for incompleteness
        smallest = self.over == "smallest size" and operator == ">="
        return min(sizes) if smallest else max(sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One kind of figure of a story: how a spec asks for it, and how it is reckoned.

    `key` is the same for a story and its mutants, so that the two can be compared.
    """

    kind: str
    key: str
    actions: tuple[str, ...]
    left: str
    unit: Unit

    def text(self, name: str, operator: str, threshold: float, top: float | None = None) -> str:
        """As a statement. `within` takes a share of the model's metric, `==` a band up to `top`."""
        if operator == "within":
            bound = f"within {100 * threshold:.4f}% of model.logit_diff"
        elif operator == "==":
            assert top is not None
            middle, half = (threshold + top) / 2, (top - threshold) / 2
            bound = f"== {middle:.6f} +- {half:.6f}"
        elif self.unit == "of model":
            bound = f"{operator} {_signed(100 * threshold, 4)}% * model.logit_diff"
        else:
            bound = f"{operator} {_signed(threshold, 6)}"
        body = "  ".join([*self.actions, f"require {self.left} {bound} ci 95"])
        return f"expect {name} {{ {body} }}"


def _signed(number: float, digits: int) -> str:
    return f"{number:.{digits}f}"
