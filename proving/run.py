"""`python -m proving.run`: true stories and mutants through `verify`, and the table of verdicts.

The one module here that imports the package. Population values and labels are all made, and their
digest printed, before the first verdict.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from circuitspec.judge.records import RequirementResult
from circuitspec.language.diagnostics import has_errors
from circuitspec.loading import load_spec
from circuitspec.verification import Options, verify
from proving.catalogue import Entry, catalogue
from proving.label import Hypothesis, Labelled, hypotheses, refused, true_story
from proving.machine import save
from proving.outcomes import Outcome, bound, held_falsely, mistakes, report, summary

ALLOWED = 0.05
"""The most that the rate of false claims that hold on a sample may be, as far as is known."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m proving.run", description=__doc__)
    parser.add_argument("--stories", type=int, default=28, help="mutated stories a machine")
    parser.add_argument("--claims", type=int, default=3, help="claims a mutated story, at most")
    parser.add_argument("--only", action="append", help="a machine's name; may be repeated")
    parser.add_argument(
        "--sampled",
        type=int,
        metavar="N",
        help="draw N prompts instead of all; fails unless false claims are shown to hold in less"
        " than 5%%",
    )
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
        sample = f"sample evaluation {stated.sampled}, reference all, pool all, seed {stated.seed}"
    outcomes: list[Outcome] = []
    wrong: list[Outcome] = []
    with tempfile.TemporaryDirectory() as temporary:
        for entry in entries:
            folder = Path(temporary) / entry.name
            exact = not stated.sampled
            if exact and not stated.no_truth:
                story = true_story(entry, stated.seed)
                truth = verdicts(entry, [story], sample, folder, exact=True)
                wrong += mistakes(truth)
                report(f"{entry.name}: the true story, {len(truth)} claims", mistakes(truth))
            passed, why = accepted(entry, listed[entry.name], folder)
            count = len(listed[entry.name])
            print(
                f"{entry.name}: {count - len(passed)} of {count} mutated stories are refused by"
                f" the checker: {dict(why)}"
            )
            if passed:
                outcomes += verdicts(entry, passed, sample, folder, exact=exact)
            _refusals(entry, folder)
    if outcomes:
        print(f"\n{summary(outcomes)}\n{time.perf_counter() - started:.0f} s")
    if stated.sampled:
        for outcome in outcomes:
            if outcome.verdict == "inconclusive":
                claim = outcome.claim
                print(
                    f"{claim.machine} {claim.hypothesis}.{claim.name}, {claim.distance:.2f} δ"
                    f" from its threshold: {outcome.reason}"
                )
        report("false claims that held", held_falsely(outcomes))
        return 1 if bound(outcomes) > ALLOWED else 0
    report("mutants", mistakes(outcomes))
    return 1 if wrong or mistakes(outcomes) else 0


def _refusals(entry: Entry, folder: Path) -> None:
    """What cannot be said, and whether the checker refuses all of it."""
    what = {f"x{number}": mutant for number, mutant in enumerate(refused(entry))}
    unsayable = [
        Hypothesis(name=name, story=mutant.story, claims=()) for name, mutant in what.items()
    ]
    passed, why = accepted(entry, unsayable, folder)
    print(
        f"{entry.name}: {len(unsayable)} mutants cannot be said; the checker refuses"
        f" all but {len(passed)}: {dict(why)}"
    )
    for each in passed:
        print("   ", what[each.name].what)


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


if __name__ == "__main__":
    sys.exit(main())
