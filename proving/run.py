"""`python -m proving.run`: true stories and mutants through `verify`, and the table of verdicts.

The one module here that imports the package. Population values and labels are all made, and their
digest printed, before the first verdict.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.stats import beta

from circuitspec.judge.records import RequirementResult
from circuitspec.language.diagnostics import has_errors
from circuitspec.loading import load_spec
from circuitspec.verification import Options, verify
from proving.catalogue import Entry, catalogue
from proving.label import Hypothesis, Labelled, hypotheses, refused, true_story
from proving.machine import save


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A labelled claim and the verdict on it. `agrees`: the program's figure is the known one."""

    claim: Labelled
    verdict: str
    reason: str
    agrees: bool | None


def spec(entry: Entry, listed: Iterable[Hypothesis], sample: str) -> str:
    """A spec file of all hypotheses on one machine."""
    lines = ["circuitspec 1", "", f"task {entry.world.task.name} {{"]
    lines += [f"  {line}" for line in entry.world.task.text.splitlines()]
    lines += [f"  {sample}", "}"]
    for hypothesis in listed:
        lines += ["", f"hypothesis {hypothesis.name} {{", '  model "model"']
        lines.append(f"  task {entry.world.task.name}")
        lines += [f"  {line}" for line in hypothesis.story.text()]
        lines += [f"  {claim.text}" for claim in hypothesis.claims]
        lines.append("}")
    return "\n".join(lines) + "\n"


def verdicts(
    entry: Entry, listed: Sequence[Hypothesis], sample: str, folder: Path, *, exact: bool
) -> list[Outcome]:
    """Every claim of the hypotheses, verified in one go, the model loaded once."""
    save(entry.world.machine, folder / "model")
    path = folder / "mutants.circuit"
    path.write_text(spec(entry, listed, sample), encoding="utf-8")
    result, diagnostics = verify(path, options=Options())
    if result is None:
        wrong = [
            f"{d.code} line {d.span.line}: {d.message}" for d in diagnostics if has_errors([d])
        ]
        raise SystemExit(f"{path} was refused:\n" + "\n".join(wrong))
    found = []
    for hypothesis, decided in zip(listed, result.hypotheses, strict=True):
        failed = [check.name for check in decided.self_checks if not check.passed]
        if failed:
            raise SystemExit(f"{entry.name} {hypothesis.name}: self-check failed: {failed}")
        for claim, judged in zip(hypothesis.claims, decided.claims, strict=True):
            rows = judged.requirements
            found.append(
                Outcome(
                    claim=claim,
                    verdict=judged.verdict,
                    reason=judged.reason or "",
                    agrees=_agrees(claim, rows) if exact else None,
                )
            )
    return found


def _agrees(claim: Labelled, rows: Sequence[RequirementResult]) -> bool | None:
    """Whether one of the requirement's contrasts is as far from its threshold as is known.

    None where there is none, or where another seed's draws would give another figure.
    """
    if claim.drawn:
        return None
    gaps = []
    for row in rows:
        for contrast in row.contrasts:
            gaps.append(abs(contrast["estimate"] - contrast["threshold"]))
        if row.estimate is not None and isinstance(row.threshold, float):
            gaps.append(abs(row.estimate - row.threshold))
    if not gaps:
        return None
    return min(abs(gap - claim.contrast) for gap in gaps) <= 1e-4


def accepted(
    entry: Entry, listed: Sequence[Hypothesis], folder: Path
) -> tuple[list[Hypothesis], Counter[str]]:
    """The hypotheses that the checker lets pass, and why it refuses the others, before any run."""
    save(entry.world.machine, folder / "model")
    passed: list[Hypothesis] = []
    why: Counter[str] = Counter()
    for hypothesis in listed:
        text = spec(entry, [hypothesis], "sample all, reference all, seed 0")
        loaded = load_spec(folder / "one.circuit", text=text, prompts="none")
        codes = {d.code for d in loaded.diagnostics if has_errors([d])}
        why.update(codes)
        if not codes:
            passed.append(hypothesis)
    return passed, why


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


def bound(outcomes: Sequence[Outcome]) -> str:
    """How often a false claim held, with the one-sided 95% upper bound of Clopper and Pearson."""
    false = [outcome for outcome in outcomes if not outcome.claim.truth]
    held = sum(outcome.verdict == "holds" for outcome in false)
    if held == len(false):
        return f"false claims that held: {held} of {len(false)}"
    top = float(beta.ppf(0.95, held + 1, len(false) - held))
    return (
        f"false claims that held: {held} of {len(false)};"
        f" their rate is at most {top:.2%} (one-sided 95%)"
    )


def reasons(outcomes: Iterable[Outcome], verdict: str) -> Iterator[str]:
    """Why claims came out so: each reason, its numbers left out, and how often it was given."""
    why = Counter(
        re.sub(r"-?[\d.,]+(e[-+]?\d+)?%?", "#", outcome.reason) if outcome.reason else "(no reason)"
        for outcome in outcomes
        if outcome.verdict == verdict
    )
    for reason, count in why.most_common():
        yield f"  {count:4d}  {reason}"


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m proving.run", description=__doc__)
    parser.add_argument("--stories", type=int, default=28, help="mutated stories a machine")
    parser.add_argument("--claims", type=int, default=3, help="claims a mutated story, at most")
    parser.add_argument("--only", action="append", help="a machine's name; may be repeated")
    parser.add_argument("--sampled", type=int, metavar="N", help="draw N prompts instead of all")
    parser.add_argument("--seed", type=int, default=0, help="the spec's, of prompts and sets K")
    parser.add_argument(
        "--labels", type=Path, help="a file that keeps the labels, read if it is there"
    )
    parser.add_argument("--no-truth", action="store_true", help="leave the true stories out")
    stated = parser.parse_args(arguments)
    entries = [e for e in catalogue() if not stated.only or e.name in stated.only]
    started = time.perf_counter()
    listed = _labels(stated, entries)
    digest = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
    count = sum(len(h.claims) for all_ in listed.values() for h in all_)
    print(f"{count} mutants labelled in {time.perf_counter() - started:.0f} s; labels {digest}")
    sample = f"sample all, reference all, seed {stated.seed}"
    if stated.sampled:
        sample = f"sample evaluation {stated.sampled}, reference all, seed {stated.seed}"
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as temporary:
        for entry in entries:
            folder = Path(temporary) / entry.name
            exact = not stated.sampled
            mine = listed[entry.name]
            if exact and not stated.no_truth:
                truth = verdicts(
                    entry, [true_story(entry, stated.seed)], sample, folder, exact=True
                )
                report(f"{entry.name}: the true story, {len(truth)} claims", mistakes(truth))
            passed, why = accepted(entry, mine, folder)
            print(
                f"{entry.name}: {len(mine) - len(passed)} of {len(mine)} mutated stories are"
                f" refused by the checker: {dict(why)}"
            )
            outcomes += verdicts(entry, passed, sample, folder, exact=exact)
            unsayable = [Hypothesis(name=m.what, story=m.story, claims=()) for m in refused(entry)]
            passed, why = accepted(
                entry, [replace(h, name=f"x{i}") for i, h in enumerate(unsayable)], folder
            )
            print(
                f"{entry.name}: {len(unsayable)} mutants cannot be said; the checker refuses"
                f" all but {len(passed)}: {dict(why)}"
            )
            for each in passed:
                print("   ", unsayable[int(each.name[1:])].name)
    print()
    print(table(outcomes, "mutation"))
    print()
    print(table(outcomes, "kind"))
    print(f"\n{makeup(outcomes)}\n{bound(outcomes)}")
    for verdict in ("inconclusive", "invalid"):
        print(f"{verdict}:", *reasons(outcomes, verdict), sep="\n")
    print(f"{time.perf_counter() - started:.0f} s")
    if stated.sampled:
        for outcome in outcomes:
            if outcome.verdict == "inconclusive":
                claim = outcome.claim
                print(
                    f"{claim.machine} {claim.hypothesis}.{claim.name}, {claim.distance:.2f} δ"
                    f" from its threshold: {outcome.reason}"
                )
        return 0
    wrong = mistakes(outcomes)
    report("mutants", wrong)
    return 1 if wrong else 0


def _labels(stated: argparse.Namespace, entries: Sequence[Entry]) -> dict[str, list[Hypothesis]]:
    """All mutants with their labels, from the file that keeps them if there is one."""
    asked = [stated.stories, stated.claims, stated.seed, [entry.name for entry in entries]]
    if stated.labels and stated.labels.exists():
        kept, found = pickle.loads(stated.labels.read_bytes())
        if kept != asked:
            raise SystemExit(f"{stated.labels} has the labels of {kept}, and not of {asked}")
        return dict(found)
    made = {
        entry.name: list(
            hypotheses(entry, stories=stated.stories, claims=stated.claims, seed=stated.seed)
        )
        for entry in entries
    }
    if stated.labels:
        stated.labels.write_bytes(pickle.dumps((asked, made)))
    return made


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


if __name__ == "__main__":
    sys.exit(main())
