"""What came out: verdicts beside the known truth, as tables, bounds and lists of mistakes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scipy.stats import beta

from proving.label import Labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A labelled claim and the verdict on it. `agrees`: the program's figure is the known one."""

    claim: Labelled
    verdict: str
    reason: str
    agrees: bool | None


def table(outcomes: Sequence[Outcome], by: str) -> str:
    """Verdicts by kind of mutant (`mutation`) or kind of claim (`kind`)."""
    columns = ("n", "false", "false holds", "true", "true refuted", "inconclusive", "invalid")
    rows: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        row = rows.setdefault(getattr(outcome.claim, by), Counter())
        row["n"] += 1
        row["true" if outcome.claim.truth else "false"] += 1
        if outcome.verdict == "holds" and not outcome.claim.truth:
            row["false holds"] += 1
        if outcome.verdict == "refuted" and outcome.claim.truth:
            row["true refuted"] += 1
        if outcome.verdict in ("inconclusive", "invalid"):
            row[outcome.verdict] += 1
    total = sum(rows.values(), Counter())
    width = max(len(name) for name in (*rows, "all"))
    lines = [" ".join([by.ljust(width), *(c.rjust(len(c)) for c in columns)])]
    for name, row in (*sorted(rows.items()), ("all", total)):
        lines.append(" ".join([name.ljust(width), *(str(row[c]).rjust(len(c)) for c in columns)]))
    return "\n".join(lines)


def bound(outcomes: Sequence[Outcome]) -> float:
    """The one-sided 95% upper bound (Clopper and Pearson) on how often a false claim holds."""
    false = [outcome for outcome in outcomes if not outcome.claim.truth]
    held = len(held_falsely(outcomes))
    return float(beta.ppf(0.95, held + 1, len(false) - held)) if held < len(false) else 1.0


def held_falsely(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """What must never be: a false claim that holds."""
    return [o for o in outcomes if o.verdict == "holds" and not o.claim.truth]


def reasons(outcomes: Iterable[Outcome], verdict: str) -> Iterator[str]:
    """Why claims came out so: each reason, without its names and numbers, and how often it was
    given."""
    why = Counter(_plain(outcome.reason) for outcome in outcomes if outcome.verdict == verdict)
    for reason, count in why.most_common():
        yield f"  {count:4d}  {reason}"


def _plain(reason: str) -> str:
    """A reason without the set or element it turns on, without counts, `…` for numbers."""
    said = re.sub(r" \([^()]*\)$", "", reason)
    said = re.sub(r"^.*: (?=the interval|zero variance|beyond|below|inert)", "", said)
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?", "…", said)


def makeup(outcomes: Sequence[Outcome]) -> str:
    """What was tried: labels, how many are close, and the largest kind of mutant."""
    n = len(outcomes)
    labels = Counter(outcome.claim.label for outcome in outcomes)
    close = sum(outcome.claim.distance <= 2 for outcome in outcomes)
    stories = len({(o.claim.machine, o.claim.hypothesis) for o in outcomes})
    kinds = Counter(outcome.claim.mutation for outcome in outcomes)
    (largest, count) = kinds.most_common(1)[0]
    return (
        f"{n} claims of {stories} mutated stories; labels: {dict(labels)}; within 2δ: {close}"
        f" ({close / n:.0%}); the largest kind: {largest}, {count / n:.0%}"
    )


def summary(outcomes: Sequence[Outcome]) -> str:
    """Both tables, what they are made of, and why claims stayed open."""
    false = sum(not outcome.claim.truth for outcome in outcomes)
    lines = [table(outcomes, "mutation"), "", table(outcomes, "kind"), "", makeup(outcomes)]
    lines.append(
        f"false claims that held: {len(held_falsely(outcomes))} of {false};"
        f" their rate is at most {bound(outcomes):.2%} (one-sided 95%)"
    )
    for verdict in ("inconclusive", "invalid"):
        lines += [f"{verdict}:", *reasons(outcomes, verdict)]
    return "\n".join(lines)


def mistakes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Of enumerated prompts: every verdict that is not the known one.

    Invalid is right where a true claim is known to be blind, or where an intervention is said to be
    inert and is known to leave the metric as it is.
    """
    wrong = []
    for outcome in outcomes:
        right = "holds" if outcome.claim.truth else "refuted"
        expected = outcome.verdict == right
        if outcome.verdict == "invalid":
            blind = outcome.claim.truth and outcome.claim.blind
            expected = blind or (outcome.claim.still and "inert" in outcome.reason)
        if outcome.verdict == "holds" and outcome.claim.blind:
            expected = False
        if not expected or outcome.agrees is False:
            wrong.append(outcome)
    return wrong


def report(what: str, wrong: Sequence[Outcome]) -> None:
    """Mistakes, one a line."""
    print(f"{what}: {len(wrong)} mistakes")
    for outcome in wrong:
        claim = outcome.claim
        print(
            f"  {claim.machine} {claim.hypothesis} ({claim.what}): {claim.text}\n"
            f"    known {claim.value:.6g}, {claim.truth}; {outcome.verdict} {outcome.reason}"
            f" agrees={outcome.agrees}"
        )
