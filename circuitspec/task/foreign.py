"""Baselines that other packages bring: what they are given, and whether what they give is usable.

A function `baseline(prompts, *arguments)` gets prompts and gives a counterfactual for each, in
order: either a mapping from the slots that change to words, from which the prompt is written anew,
or its token ids, as many as the prompt has. It is asked twice, with the same random numbers: what
it gives must follow from what it is given.
"""

from __future__ import annotations

import operator
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from circuitspec.task.counterfactuals import rewritten
from circuitspec.task.encoding import Encoder
from circuitspec.task.functions import ExpressionError
from circuitspec.task.records import Prompt
from circuitspec.task.resolved import Borrowed, ResolvedTask
from circuitspec.task.sampling import Assignment, stream
from circuitspec.task.suggestions import listing
from circuitspec.task.tokenizer import IntegerTokens, TaskTokenizer

CODE = "T042"
MEND = "mend the function, or name another baseline"

Changed = Mapping[str, str]
Ids = tuple[int, ...]
Counterfactual = Changed | Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A prompt as another package's baseline sees it.

    `tokens` are ids, BOS included where the task has it; `positions` maps labels to token indices,
    `slots` names to words. `random` is the prompt's own stream: it depends on the seed, the set,
    the template and the prompt's number there, and on nothing else.
    """

    template: str
    text: str
    slots: Mapping[str, str]
    tokens: tuple[int, ...]
    positions: Mapping[str, tuple[int, ...]]
    random: random.Random = field(repr=False, compare=False)


def partners(
    borrowed: Borrowed,
    name: str,
    clean: Sequence[Assignment],
    prompts: Sequence[Prompt],
    streams: Sequence[Sequence[object]],
    encoder: Encoder,
    *,
    words: bool,
) -> list[Prompt | None]:
    """The counterfactuals as prompts, in order; what is wrong with one is in the findings.

    `words`: they must be words, since features of them are asked for, and of ids none are known.
    Raises ExpressionError where the function gives nothing that can be used.
    """
    task, tokenizer = encoder.context.task, encoder.context.tokenizer
    found = counterfactuals(borrowed, name, prompts, streams, task, tokenizer)
    if words and not all(isinstance(each, Mapping) for each in found):
        raise _wrong(
            f"baseline `{name}`: {borrowed.source} gave token ids, and a scrub over it draws by "
            "features of slots, which ids do not tell",
            "give the slots that change, as a mapping to words",
        )
    written = [
        rewritten(task, assignment, dict(each))
        for assignment, each in zip(clean, found, strict=True)
        if isinstance(each, Mapping)
    ]
    encoded = iter(encoder.encode(written))
    return [
        next(encoded) if isinstance(each, Mapping) else _retokenized(prompt, each, tokenizer)
        for prompt, each in zip(prompts, found, strict=True)
    ]


def _retokenized(prompt: Prompt, ids: Ids, tokenizer: TaskTokenizer) -> Prompt:
    """The prompt with other tokens. Labels stay where they were; words that changed are unknown."""
    places = {slot: prompt.positions.get(slot, ()) for slot in prompt.slots}
    slots = {
        slot: prompt.slots[slot]
        for slot, at in places.items()
        if at and all(ids[i] == prompt.tokens[i] for i in at)
    }
    bos = prompt.positions.get("BOS") == (0,) and ids[0] == prompt.tokens[0]
    return replace(prompt, tokens=ids, text=tokenizer.decode(ids[bos:]), slots=slots)


def counterfactuals(
    borrowed: Borrowed,
    name: str,
    prompts: Sequence[Prompt],
    streams: Sequence[Sequence[object]],
    task: ResolvedTask,
    tokenizer: TaskTokenizer,
) -> list[Counterfactual]:
    """What a baseline gives for prompts; `streams` names each one's random numbers.

    Raises ExpressionError, with a sentence for the author, where it gives nothing that can be used.
    """
    try:
        function = borrowed.source.load()
    except (Exception, SystemExit) as error:
        raise _wrong(f"{borrowed.source} cannot be loaded: {_said(error)}", MEND) from error
    first, second = (
        _asked(borrowed, function, name, task, tokenizer, _given(prompts, streams))
        for _ in range(2)
    )
    for prompt, one, other in zip(prompts, first, second, strict=True):
        if one != other:
            raise _wrong(
                f"baseline `{name}`: {borrowed.source} gave two counterfactuals of {prompt.text!r} "
                "when it was asked twice",
                "draw from the prompt's own `random`, and from nothing else",
            )
    return first


def _given(prompts: Sequence[Prompt], streams: Sequence[Sequence[object]]) -> tuple[Given, ...]:
    return tuple(
        Given(
            template=prompt.template,
            text=prompt.text,
            slots=MappingProxyType(dict(prompt.slots)),
            tokens=prompt.tokens,
            positions=MappingProxyType(dict(prompt.positions)),
            random=stream(*parts),
        )
        for prompt, parts in zip(prompts, streams, strict=True)
    )


def _asked(
    borrowed: Borrowed,
    function: Callable[..., object],
    name: str,
    task: ResolvedTask,
    tokenizer: TaskTokenizer,
    given: tuple[Given, ...],
) -> list[Counterfactual]:
    about = f"baseline `{name}`: {borrowed.source}"
    try:
        found = function(given, *borrowed.arguments, **borrowed.keywords)
        # A generator's errors are the function's too.
        found = list(found) if isinstance(found, Iterator) else found
    except (Exception, SystemExit) as error:
        raise _wrong(f"{about} failed: {_said(error)}", MEND) from error
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Sequence):
        raise _wrong(f"{about} gave {_kind(found)}, not a list of counterfactuals")
    if len(found) != len(given):
        raise _wrong(f"{about} gave {len(found)} counterfactuals for {len(given)} prompts")
    return [
        _one(each, prompt, about, task, tokenizer)
        for each, prompt in zip(found, given, strict=True)
    ]


def _one(
    found: object, prompt: Given, about: str, task: ResolvedTask, tokenizer: TaskTokenizer
) -> Counterfactual:
    """One counterfactual, checked."""
    if isinstance(found, Mapping):
        return _words(found, prompt, about, task)
    try:
        ids = tuple(operator.index(i) for i in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        text = f"{about} gave {_kind(found)} for {prompt.text!r}"
        raise _wrong(text) from None
    if len(ids) != len(prompt.tokens):
        raise _wrong(
            f"{about} gave {len(ids)} token ids for {prompt.text!r}, which has "
            f"{len(prompt.tokens)}",
            "values correspond token by token, so both must be equally long, BOS included",
        )
    least = tokenizer.first if isinstance(tokenizer, IntegerTokens) else 0
    unknown = [i for i in ids if not least <= i < tokenizer.vocab_size]
    if unknown:
        raise _wrong(
            f"{about} gave token id {unknown[0]} for {prompt.text!r}; the vocabulary has "
            f"{least} to {tokenizer.vocab_size - 1}"
        )
    return ids


def _words(
    found: Mapping[object, object], prompt: Given, about: str, task: ResolvedTask
) -> dict[str, str]:
    changed: dict[str, str] = {}
    for slot, word in found.items():
        known = [s for s in prompt.slots if s not in task.computed]
        if slot not in known:
            raise _wrong(
                f"{about} changes {slot!r}, which is not a slot of {prompt.text!r} to be changed",
                f"its slots are {listing(known)}",
            )
        if not isinstance(word, str):
            raise _wrong(f"{about} gave {_kind(word)} for the slot {slot!r}, not a word")
        changed[str(slot)] = word
    return changed


def _wrong(message: str, hint: str | None = None) -> ExpressionError:
    hint = hint or "give a list with the changed slots or the token ids of each prompt, in order"
    return ExpressionError(message, hint=hint, code=CODE)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def _said(error: BaseException) -> str:
    """`ValueError: no word (acme.py:12)`: an error with the place it came from, in one line."""
    said = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({frames[-1].filename.replace(chr(92), '/').rpartition('/')[2]}:{frames[-1].lineno})"
    return f"{type(error).__name__}: {said}{at if len(frames) > 1 else ''}"
