"""Single prompts in a report: where each role looks, token by token, and the worst ones."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from circuitspec.report.numbers import short

if TYPE_CHECKING:
    from circuitspec.closeup import Astray, Closeup, Look, Seen

STRONG = 0.4
SOME = 0.1
"""Shares of a head's attention from which a cell is marked."""


def render(closeup: Closeup) -> Iterator[str]:
    """Attention on a few prompts, then the prompts on which the circuit is furthest off."""
    if any(seen.looks for seen in closeup.seen):
        yield "<h3>Where roles look</h3>"
        yield (
            '<p class="r-dim">Attention in the unmodified model, in percent, from the token with '
            "a frame.</p>"
        )
        for number, seen in enumerate(closeup.seen):
            yield _seen(seen, opened=number == 0)
    if closeup.worst:
        yield f"<h3>Furthest from the model under {escape(closeup.claim)}</h3>"
        yield _worst(closeup.worst, closeup.metric)


def _seen(seen: Seen, *, opened: bool) -> str:
    tokens = "".join(f'<th scope="col">{escape(token)}</th>' for token in seen.tokens)
    rows = "".join(_look(look) for look in seen.looks)
    details = '<details open="">' if opened else "<details>"
    return (
        f"{details}<summary>{escape(seen.template)}: "
        f'<span class="r-dim">{escape(seen.text)}</span></summary>'
        '<div class="r-wide"><table class="r-tokens">'
        f'<thead><tr><th scope="col">role</th><th scope="col">head</th>{tokens}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _look(look: Look) -> str:
    cells = []
    for token, weight in enumerate(look.weights):
        mark = " r-strong" if weight >= STRONG else " r-some" if weight >= SOME else ""
        query = " r-query" if token == look.query else ""
        number = f"{weight:.0%}".rstrip("%") if weight >= 0.005 else ""
        cells.append(f'<td class="r-weight{mark}{query}">{number}</td>')
    return (
        f'<tr><th scope="row">{escape(look.role)}</th><td class="r-mono">{escape(look.head)}</td>'
        f"{''.join(cells)}</tr>"
    )


def _worst(worst: tuple[Astray, ...], metric: str) -> str:
    rows = "".join(
        f'<tr><td class="r-number">{each.index}</td><td>{escape(each.text)}</td>'
        f'<td class="r-number">{short(each.model, 3)}</td>'
        f'<td class="r-number">{short(each.circuit, 3)}</td></tr>'
        for each in worst
    )
    headings = ("prompt", "text", f"model's {metric}", "circuit's")
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    return (
        f'<div class="r-wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
