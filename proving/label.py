"""Mutants with claims whose truth is known: every population value reckoned before any verdict.

δ is 0.02: of the model's mean metric for what is measured in the metric's units, absolute for
shares, ratios, and KL in nats. Thresholds are laid around a mutant's value: most between δ and 2δ
away from it, some closer than δ, the rest further off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from proving.catalogue import Entry
from proving.claims import Claims
from proving.figure import Claim, Figure
from proving.mutations import Mutant, mutants
from proving.story import Story

DELTA = 0.02
DRAWN = (6.0, 12.0)
"""How far off the thresholds of scrubs lie, in δ."""

SURE = 6.0
"""A claim is labelled if its threshold is so many standard errors from the value."""

SHARES = ("agreement", "attention", "each attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One claim of one mutant (or of a true story, whose `mutation` is "none").

    `text` is the claim's statement, `value` the population value that it compares, `truth` whether
    the claim is true of the population; `distance` from value to threshold in δ. `blind`: where the
    claim is true, the program is to say that its figure means nothing; `still`: it may say that an
    intervention is inert. `contrast` is the same comparison as a difference, in the metric's units,
    by size. `drawn`: the figure rests on random draws.
    """

    machine: str
    hypothesis: str
    name: str
    mutation: str
    what: str
    kind: str
    key: str
    text: str
    value: float
    truth: bool
    distance: float
    blind: bool
    still: bool
    contrast: float
    drawn: bool

    @property
    def label(self) -> str:
        """True, false, or within δ of the threshold."""
        if self.distance < 1.0:
            return "within δ"
        return "true" if self.truth else "false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A story and the claims that are made of it."""

    name: str
    story: Story
    claims: tuple[Labelled, ...]


def true_story(entry: Entry, seed: int = 0, kind: str | None = None) -> Hypothesis:
    """Every claim of the true story, or of one kind, with thresholds that it meets by 2δ."""
    made = []
    for number, (claim, figured) in enumerate(Claims(entry.world, entry.story, seed).all()):
        figure = figured() if kind in (None, claim.kind) else None
        if figure is None:
            continue
        operator = "<=" if _only_at_most(claim) or figure.value(">=") < 3 * DELTA else ">="
        offset = 2 * DELTA if operator == "<=" else -2 * DELTA
        threshold = round(figure.value(operator) + offset, 6)
        found = _labelled(
            entry,
            Mutant(kind="none", what="", story=entry.story),
            "true",
            number,
            claim,
            figure,
            operator,
            threshold,
        )
        if found is not None:
            made.append(found)
    return Hypothesis(name="true", story=entry.story, claims=tuple(made))


def hypotheses(entry: Entry, *, stories: int, claims: int, seed: int = 0) -> Iterator[Hypothesis]:
    """Mutants of an entry: kinds take turns, `stories` in all, up to `claims` claims each.

    `seed` is the spec's, which draws sets K and the candidates of searches.
    """
    random = Random(f"0/{entry.name}")
    by_kind: dict[str, list[Mutant]] = {}
    for mutant in mutants(entry.story, entry.world.machine, entry.world.task):
        by_kind.setdefault(mutant.kind, []).append(mutant)
    for listed in by_kind.values():
        random.shuffle(listed)
        del listed[max(1, stories // 8) :]  # no kind is to be a fifth of all
    turn = 0
    made = 0
    while made < stories and any(by_kind.values()):
        kind = list(by_kind)[turn % len(by_kind)]
        turn += 1
        if not by_kind[kind]:
            continue
        mutant = by_kind[kind].pop()
        if not _sayable(mutant.story):
            continue
        name = f"mutant_{made}"
        found = tuple(_claims(entry, mutant, name, claims, random, seed))
        if found:
            made += 1
            yield Hypothesis(name=name, story=mutant.story, claims=found)


def refused(entry: Entry) -> Iterator[Mutant]:
    """Mutants that cannot be said: a sender that its receiver never meets, or an edge backwards."""
    for mutant in mutants(entry.story, entry.world.machine, entry.world.task):
        if not _sayable(mutant.story):
            yield mutant


def _sayable(story: Story) -> bool:
    """Whether every line's every sender is read by every channel of every receiver somewhere."""
    for line in story.lines:
        for sender in line.senders:
            for receiver in line.receivers:
                name, _, channels = receiver.partition(".")
                for channel in ("in",) if channels == "in" else channels or ("",):
                    one = f"{name}.{channel}" if channel else name
                    part = type(line)(senders=(sender,), receivers=(one,), at=line.at)
                    if not Story(roles=story.roles, lines=(part,)).declared():
                        return False
    return True


def _claims(
    entry: Entry, mutant: Mutant, name: str, count: int, random: Random, seed: int
) -> Iterator[Labelled]:
    """Claims that the mutation changes the value of, with thresholds near the mutant's value."""
    truth = {claim.key: figured for claim, figured in Claims(entry.world, entry.story, seed).all()}
    listed = list(Claims(entry.world, mutant.story, seed).all())
    random.shuffle(listed)
    kinds: Counter[str] = Counter()
    number = 0
    for claim, figured in listed:
        if number == count:
            return
        if kinds[claim.kind] >= max(1, count // 2):
            continue
        figure = figured()
        original = truth[claim.key]() if claim.key in truth else None
        if figure is None:
            continue
        if original is not None and _same(figure, original):
            continue
        for _ in range(8):  # not every threshold can be said of every measure
            operator, threshold = _threshold(claim, figure, original, random)
            found = _labelled(entry, mutant, name, number, claim, figure, operator, threshold)
            if found is not None:
                kinds[claim.kind] += 1
                number += 1
                yield found
                break


def _same(figure: Figure, original: Figure) -> bool:
    return all(abs(figure.value(op) - original.value(op)) < 1e-6 for op in (">=", "<="))


def _threshold(
    claim: Claim, figure: Figure, original: Figure | None, random: Random
) -> tuple[str, float]:
    """An operator and a threshold near the mutant's value, false of it two times in three."""
    where = random.random()
    if figure.error:  # what is drawn has an interval even if all prompts are listed
        away = random.uniform(*DRAWN)
    elif where < 0.72:
        away = random.uniform(1.05, 1.95)
    elif where < 0.80:
        away = random.uniform(0.1, 0.9)
    else:
        away = random.uniform(3.0, 10.0)
    false = random.random() < 0.7
    if figure.may_be is not None:
        least, most = figure.may_be
        return "<=", round(least - away * DELTA if false else most + away * DELTA, 6)
    alone = "faithful" in claim.key
    if claim.left == "logit_diff" and alone and random.random() < 0.5:
        off = abs(figure.value("within") - 1.0)
        return "within", round(off + (-away if false else away) * DELTA, 6)
    if _only_at_most(claim):
        operator = "<="
    elif original is not None and random.random() < 0.8:
        # as the true story would have it
        operator = ">=" if original.value(">=") > figure.value(">=") else "<="
    else:
        operator = random.choice((">=", "<="))
    sign = 1.0 if (operator == ">=") == false else -1.0
    return operator, round(figure.value(operator) + sign * away * DELTA, 6)


def _only_at_most(claim: Claim) -> bool:
    return claim.left in ("kl", "error", "incompleteness")


def _labelled(
    entry: Entry,
    mutant: Mutant,
    hypothesis: str,
    number: int,
    claim: Claim,
    figure: Figure,
    operator: str,
    threshold: float,
) -> Labelled | None:
    """The claim with its truth; None where no such threshold can be meant."""
    value = figure.value(operator)
    if operator == "within":
        room = threshold - abs(value - 1.0)
        if threshold < 0.005:
            return None
    else:
        room = value - threshold if operator == ">=" else threshold - value
    share = claim.left.partition("(")[0] in SHARES
    if share and not 0.005 < threshold < 0.995:
        return None
    if claim.left in ("kl", "error", "incompleteness", "effect") and threshold < 0.005:
        return None
    if abs(room) < SURE * figure.error:
        return None
    if figure.may_be is not None and figure.may_be[0] <= threshold < figure.may_be[1]:
        return None  # it would depend on the prompts that the search sees
    name = f"c{number}"
    under = 1.0 if figure.under is None else abs(float(figure.under.mean()))
    return Labelled(
        machine=entry.name,
        hypothesis=hypothesis,
        name=name,
        mutation=mutant.kind,
        what=mutant.what,
        kind=claim.kind,
        key=claim.key,
        text=claim.text(name, operator, threshold),
        value=value,
        truth=room >= 0,
        distance=abs(room) / DELTA,
        blind=figure.blind,
        still=figure.still,
        contrast=abs(room) * under,
        drawn=figure.error > 0,
    )
