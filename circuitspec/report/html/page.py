"""The page: verdicts, figure, claims, plots, single prompts, and where it all comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.judge.records import ClaimResult, HypothesisResult, RequirementResult, RunResult
from circuitspec.report.figure.layout import layout
from circuitspec.report.figure.scene import scene_of
from circuitspec.report.figure.svg import Told, to_svg
from circuitspec.report.html import plots, prompts
from circuitspec.report.html.measured import explained, told, with_measures
from circuitspec.report.html.style import PAGE, PART
from circuitspec.report.numbers import short
from circuitspec.report.rows import (
    SIGNS,
    circuit_parts,
    claim_tag,
    competence_notes,
    competence_parts,
    headline,
    labelled,
    model_line,
    numbers_of,
    replicate_line,
    row_of,
    run_line,
    warnings_of,
)

if TYPE_CHECKING:
    from circuitspec.closeup import Closeup


def render(
    result: RunResult,
    *,
    hypotheses: Mapping[str, Hypothesis] | None = None,
    closeups: Mapping[str, Closeup] | None = None,
) -> str:
    """The run as one HTML document that needs no other file.

    `hypotheses` by name give the figures, `closeups` the single prompts; what is not given is left
    out.
    """
    title = f"{SIGNS[result.verdict]} {result.verdict}: {headline(result)}"
    body = "\n".join(
        part
        for each in result.hypotheses
        for part in _hypothesis(
            each, (hypotheses or {}).get(each.name), (closeups or {}).get(each.name)
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>circuitspec: {escape(title)}</title>\n<style>{PAGE}</style>\n</head>\n<body>\n"
        f'<h1><span class="r-{result.verdict}">{SIGNS[result.verdict]} {result.verdict}</span> '
        f"{escape(headline(result))}</h1>\n{body}\n"
        f'<p class="r-dim">{escape(run_line(result))}</p>\n</body>\n</html>\n'
    )


def fragment(result: RunResult) -> str:
    """Verdicts and claims alone, with their style: what a notebook shows of a result."""
    head = f"<p>{_verdict(result.verdict)} {escape(headline(result))}</p>"
    claims = "".join(
        text
        for hypothesis in result.hypotheses
        for text in (*_mostly_wrong(hypothesis), *map(_claim, hypothesis.claims))
    )
    return f'<div class="r-part"><style>{PART}</style>{head}{claims}</div>'


def _hypothesis(
    result: HypothesisResult, hypothesis: Hypothesis | None, closeup: Closeup | None
) -> Iterator[str]:
    yield f"<h2>{escape(result.name)} {_verdict(result.verdict)}</h2>"
    if result.doc:
        yield f"<p>{escape(result.doc.strip())}</p>"
    yield from _mostly_wrong(result)
    if hypothesis is not None:
        yield _figure(hypothesis, result)
    yield "<h3>Claims</h3>"
    yield from (_claim(claim) for claim in result.claims)
    yield from _plots(result)
    if closeup is not None:
        yield from prompts.render(closeup)
    yield from _provenance(result)


def _mostly_wrong(result: HypothesisResult) -> Iterator[str]:
    for note in competence_notes(result.competence):
        yield f'<p class="r-invalid"><strong>{escape(note)}</strong></p>'


def _verdict(verdict: str) -> str:
    sign = next(sign for name, sign in SIGNS.items() if name == verdict)
    return f'<span class="r-{verdict}">{sign} {verdict}</span>'


def _figure(hypothesis: Hypothesis, result: HypothesisResult) -> str:
    scene = with_measures(scene_of(hypothesis), hypothesis, result)
    measured = told(scene, hypothesis, result)
    svg = to_svg(layout(scene), told=measured, prefix=f"{hypothesis.name}-")
    says = (
        "Point at a role or an arrow to see what was measured of it.",
        explained(scene, hypothesis, result),
    )
    return (
        f'<div class="r-wide r-figure">{svg}</div>'
        f'<p class="r-dim">{escape(" ".join(filter(None, says)))}</p>{_listed(measured)}'
    )


def _listed(measured: Told) -> str:
    """What pointing shows, as a list: for those who have no pointer, and for print."""
    if not measured:
        return ""
    entries = "".join(
        f"<dt>{escape(name)}</dt>" + "".join(f"<dd>{escape(line)}</dd>" for line in said)
        for name, said in measured.items()
    )
    return (
        "<details><summary>What was measured of each role and arrow</summary>"
        f'<dl class="r-told">{entries}</dl></details>'
    )


def _claim(claim: ClaimResult) -> str:
    tag = f' <span class="r-dim">({claim_tag(claim)})</span>' if claim_tag(claim) else ""
    parts = [f"<h4>{escape(claim.name)}{tag} {_verdict(claim.verdict)}</h4>"]
    parts += [
        f'<p class="r-invalid"><strong>{escape(text)}</strong></p>' for text in warnings_of(claim)
    ]
    if claim.doc:
        parts.append(f'<p class="r-says">{escape(claim.doc.strip())}</p>')
    parts += [_requirement(requirement) for requirement in claim.requirements]
    said = [claim.reason] if claim.reason else []
    said += claim.notes
    parts += [f'<p class="r-says">{escape(text)}</p>' for text in said]
    return f'<section class="r-claim r-{claim.verdict}">{"".join(parts)}</section>'


def _requirement(requirement: RequirementResult) -> str:
    row = row_of(requirement)
    says = "".join(
        f'<div class="r-dim">{escape(text)}</div>' for text in (row.shown, row.reason) if text
    )
    return (
        f'<div class="r-require"><div class="r-text">'
        f'<span class="r-{requirement.verdict}">{row.sign}</span> '
        f"<code>{escape(labelled(row))}</code></div>{plots.interval(requirement)}"
        f'<div class="r-numbers">{escape(numbers_of(row))}{says}</div></div>'
    )


def _plots(result: HypothesisResult) -> Iterator[str]:
    drawn = {name.partition(".")[2]: svg for name, svg in figures(result)}
    if drawn:
        yield "<h3>Completeness and minimality</h3>"
        shown = (
            f"<figure>{svg}<figcaption>{escape(name)}</figcaption></figure>"
            for name, svg in drawn.items()
        )
        yield f'<div class="r-plots">{"".join(shown)}</div>'


def figures(result: HypothesisResult) -> Iterator[tuple[str, str]]:
    """Every plot of a hypothesis as (name, SVG): scatter and bars, a metric each."""
    for claim in result.claims:
        metrics = [key.removeprefix("model.") for key in claim.measures if key[:6] == "model."]
        for metric in metrics:
            if f"circuit.{metric}" not in claim.measures:
                continue
            if claim.measures.get("sets"):
                drawn = plots.completeness(claim.measures["sets"], metric)
            elif claim.measures.get("effects"):
                drawn = plots.minimality(claim.measures["effects"], metric)
            else:
                continue
            yield f"{result.name}.{claim.name}.{metric}", drawn


def _provenance(result: HypothesisResult) -> Iterator[str]:
    facts = [
        ("spec", result.file),
        ("model", model_line(result.model)),
        ("circuit", circuit_parts(result)),
        ("competence", "; ".join(competence_parts(result.competence))),
        ("replicated", replicate_line(result) if result.replicates else ""),
        *(("note", note) for note in result.notes),
        *(
            (
                "self-check",
                f"{'✓' if check.passed else '✗'} {check.name}"
                + (f" ({short(check.value)})" if check.value is not None else "")
                + (f": {check.detail}" if check.detail else ""),
            )
            for check in result.self_checks
        ),
    ]
    yield "<h3>Where it comes from</h3><dl>"
    yield from (f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts if text)
    yield "</dl>"
