"""Prompts as the lines that `circuitspec prompts --format jsonl` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from circuitspec.task.records import Prompt, PromptSet, TaskData


def prompt_lines(task: TaskData, pools: Iterable[PromptSet] = ()) -> Iterator[dict[str, object]]:
    """One JSON object for every prompt that a run can use, set by set.

    Keys: `set`, `index`, `pair`, `template`, `text`, `tokens`, `positions`, `slots`; `answers` has
    the token ids that each of the metric's answers stands for.
    """
    for prompts in (*_sets(task), *pools):
        for prompt in prompts:
            yield prompt_line(prompts.name, prompt)


def prompts_hash(task: TaskData) -> str:
    """`sha256:` of a line `SET INDEX TOKEN TOKEN ...` for each prompt, in the order of
    `prompt_lines`: whether two runs saw the same."""
    digest = sha256()
    for prompts in _sets(task):
        for prompt in prompts:
            tokens = " ".join(map(str, prompt.tokens))
            digest.update(f"{prompts.name} {prompt.index} {tokens}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _sets(task: TaskData) -> tuple[PromptSet, ...]:
    return (task.evaluation, *task.references.values(), *task.counterfactuals.values())


def prompt_line(name: str, prompt: Prompt) -> dict[str, object]:
    """One prompt of a set."""
    return {
        "set": name,
        "index": prompt.index,
        "pair": prompt.pair,
        "template": prompt.template,
        "text": prompt.text,
        "tokens": list(prompt.tokens),
        "positions": {label: list(places) for label, places in prompt.positions.items()},
        "slots": dict(prompt.slots),
        "answers": {answer: list(ids) for answer, ids in prompt.answers.items()},
    }
