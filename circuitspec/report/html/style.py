"""How a report looks: one palette for light and dark, shared with the figure."""

from __future__ import annotations

from circuitspec.report.figure.style import DARK, LIGHT

VERDICTS_LIGHT = {
    "holds": "#1a7f37", "refuted": "#c62828", "inconclusive": "#8a5a00", "invalid": "#7a3e9d",
}  # fmt: skip
VERDICTS_DARK = {
    "holds": "#4ac26b", "refuted": "#ff7b72", "inconclusive": "#e3a73c", "invalid": "#d2a8ff",
}  # fmt: skip
"""Verdicts as text on paper: each at least 4.5 to 1, and never without its sign or its name."""

PALETTES = {"light": LIGHT | VERDICTS_LIGHT, "dark": DARK | VERDICTS_DARK}


def _plots(of: dict[str, str]) -> str:
    rules = [
        (".p-needed", f"fill: {of['holds']}; opacity: .14"),
        (".p-limit, .p-axis", f"stroke: {of['dim']}; fill: none"),
        (".p-diagonal", f"stroke: {of['dim']}; stroke-dasharray: 4 4; fill: none"),
        *((f".p-line.p-{v}", f"stroke: {of[v]}") for v in VERDICTS_LIGHT),
        *((f".p-dot.p-{v}", f"fill: {of[v]}") for v in VERDICTS_LIGHT),
        (".p-set", f"stroke: {of['paper']}"),
        (".p-set.p-named", f"fill: {of['k']}"),
        (".p-set.p-random", f"fill: {of['dim']}"),
        (".p-set.p-greedy", f"fill: {of['in']}"),
        (".p-bar", f"fill: {of['q']}"),
        (".p-tick", f"fill: {of['dim']}"),
        (".p-label", f"fill: {of['ink']}"),
    ]
    return "".join(f"{selector} {{ {what}; }}\n" for selector, what in rules)


PLOTS = f"""
.p-plot text {{ font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }}
.p-plot .p-tick {{ font-size: 11px; }}
.p-plot .p-label {{ font-size: 12px; }}
.p-line {{ stroke-width: 2; fill: none; }}
{_plots(PALETTES["light"])}@media (prefers-color-scheme: dark) {{
{_plots(PALETTES["dark"])}}}
"""
"""The style sheet of every plot, in a page or in a file of its own."""


def _variables(of: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in of.items())


def _theme(selector: str) -> str:
    light, dark = (_variables(PALETTES[name]) for name in ("light", "dark"))
    return (
        f"{selector} {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ {selector} {{ {dark} }} }}\n"
    )


PARTS = f"""
.r-text code, .r-mono {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: .9em; overflow-wrap: anywhere; }}
.r-dim {{ color: var(--dim); }}
.r-holds {{ color: var(--holds); }} .r-refuted {{ color: var(--refuted); }}
.r-inconclusive {{ color: var(--inconclusive); }} .r-invalid {{ color: var(--invalid); }}
.r-wide {{ overflow-x: auto; max-width: 100%; }}
.r-figure svg {{ display: block; }}
.r-claim {{ border-left: 4px solid currentColor; padding: .1rem 0 .1rem .8rem; margin: 1rem 0; }}
.r-claim > * {{ color: var(--ink); }}
.r-claim > h4 {{ margin: 0; font-size: 1rem; }}
.r-require {{ display: flex; flex-wrap: wrap; gap: .1rem 1rem; align-items: center;
  margin: .35rem 0; }}
.r-require > .r-text {{ flex: 1 1 18rem; }}
.r-require > svg {{ flex: none; }}
.r-require > .r-numbers {{ flex: 1 1 15rem; font-variant-numeric: tabular-nums; }}
.r-claim > .r-says {{ margin: .1rem 0; color: var(--dim); }}
.r-plots {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
.r-plots figure {{ margin: 0; max-width: 100%; }}
.r-plots figcaption {{ font-size: .85rem; text-align: center; }}
.r-plots svg {{ max-width: 100%; height: auto; }}
td.r-number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.r-tokens td, .r-tokens th {{ padding: .1rem .25rem; white-space: pre; }}
.r-tokens .r-weight {{ text-align: center; min-width: 2.2rem; border: 1px solid var(--band); }}
.r-tokens .r-query {{ outline: 2px solid var(--k); outline-offset: -2px; }}
.r-strong {{ background: var(--q); color: var(--paper); }}
.r-some {{ background: var(--node); }}
{PLOTS}"""

PAGE = f"""
{_theme(":root")}* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 "Helvetica Neue", Helvetica, Arial, sans-serif; }}
h1 {{ font-size: 1.5rem; margin: .5rem 0; }}
h2 {{ font-size: 1.3rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--dim);
  padding-top: 1rem; }}
h3 {{ font-size: 1.05rem; margin: 1.8rem 0 .5rem; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
th, td {{ padding: .15rem .5rem; text-align: left; vertical-align: top; }}
details > summary {{ cursor: pointer; padding: .3rem 0; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }}
dt {{ color: var(--dim); }} dd {{ margin: 0; overflow-wrap: anywhere; }}
.r-told > dt {{ grid-column: 1; }} .r-told > dd {{ grid-column: 2; }}
@media (max-width: 40rem) {{ dl {{ grid-template-columns: 1fr; }} dd {{ margin: 0 0 .4rem; }}
  .r-told > dt, .r-told > dd {{ grid-column: 1; }} }}
{PARTS}"""
"""The style sheet of a report."""

PART = f"""
{_theme(".r-part")}.r-part {{ background: var(--paper); color: var(--ink); padding: .5rem; }}
{PARTS}"""
"""The style sheet of a part in somebody else's page: it leaves the rest of that page alone."""
