"""Every prompt that verifying a spec can use, listed: for the command line and for Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from circuitspec.hypothesis.records import Hypothesis, Scrub
from circuitspec.loading import Bound
from circuitspec.task.export import prompt_lines
from circuitspec.task.pools import pool_of
from circuitspec.task.records import PromptSet, TaskData

Line = dict[str, object]
"""One prompt: set, index, pair, template, text, tokens, positions, slots, answers, task."""


class CannotListError(Exception):
    """A hypothesis's prompts cannot be listed; the message is one sentence for its author."""


def listed(bound: Iterable[Bound], not_checked: Iterable[str] = ()) -> list[Line]:
    """The prompts of hypotheses, set by set; rivals over one task share theirs.

    Raises CannotListError where a task could not be built: `not_checked` may say why.
    """
    found: list[list[Line]] = []
    for one in bound:
        if one.task is None:
            reasons = "; ".join(not_checked) or "its task could not be built"
            raise CannotListError(f"no prompts for {one.hypothesis.name}: {reasons}")
        lines = prompt_lines(one.task, _pools(one.hypothesis, one.task))
        for _, group in groupby(lines, key=lambda line: line["set"]):
            own = [{**line, "task": one.task.name} for line in group]
            if own not in found:
                found.append(own)
    return [line for lines in found for line in lines]


def _pools(hypothesis: Hypothesis, task: TaskData) -> Iterator[PromptSet]:
    """The pools that a hypothesis's scrubs draw from."""
    for claim in hypothesis.claims:
        if isinstance(claim.intervention, Scrub):
            pool, found = pool_of(task, claim.name, claim.intervention.over)
            if pool is None:
                why = "; ".join(d.message for d in found)
                raise CannotListError(f"no pool for {claim.name}: {why}")
            yield pool
