"""How a figure looks: colours for light and dark, dashes, and the style sheet that has them."""

from __future__ import annotations

from circuitspec.language.nodes import Channel

NAMES: dict[Channel, str] = {"q": "q", "k": "k", "v": "v", "in": "in", "": "out"}
DASHES: dict[Channel, int] = {"q": 0, "k": 8, "v": 3, "in": 0, "": 0}
"""Length of a channel's dashes; 0 is a line without gaps."""
GAP = 3.0
MEANINGS: dict[Channel, str] = {
    "q": "q, query",
    "k": "k, key",
    "v": "v, value",
    "in": "in, MLP input",
    "": "to the logits",
}

LIGHT = {
    "paper": "#ffffff", "ink": "#1f2328", "dim": "#59636e", "band": "#f3f5f8", "box": "#ffffff",
    "frame": "#59636e", "node": "#e9edf2", "q": "#0072b2", "k": "#c45500", "v": "#008060",
    "in": "#8f4a86", "out": "#30363d",
}  # fmt: skip
DARK = {
    "paper": "#0d1117", "ink": "#e6edf3", "dim": "#9198a1", "band": "#161c25", "box": "#0d1117",
    "frame": "#9198a1", "node": "#262c36", "q": "#56b4e9", "k": "#f09448", "v": "#2fc49a",
    "in": "#dd9fd3", "out": "#c9d1d9",
}  # fmt: skip

SHAPES = """\
text { font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
.axis, .note, .word { font-size: 10.5px; }
.axis { text-anchor: end; font-size: 11px; }
.word, .carries { font-style: italic; }
.name { font-size: 13px; font-weight: 700; text-anchor: middle; }
.note { text-anchor: middle; }
.box { stroke-width: 1.3; }
.open .box { stroke-dasharray: 5 4; }
.open .name, .kept .name { font-weight: 400; }
.token, .logits rect { stroke-width: 1; }
.node text, .label { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "Liberation Mono", "DejaVu Sans Mono", monospace; font-size: 11px; }
.node text { text-anchor: middle; }
.label { font-weight: 700; paint-order: stroke; stroke-width: 3px; stroke-linejoin: round; }
.wire { fill: none; stroke-width: 2; }
.wire.attends { stroke-width: 1.2; stroke-dasharray: 1 4; stroke-linecap: round; }
.under { fill: none; stroke-width: 5.5; }
.heading { font-size: 15px; font-weight: 700; }
.doc { font-size: 12px; font-weight: 400; }
.caption, .legend { font-size: 11px; }
"""


def style() -> str:
    """The style sheet: colours for light, those for dark where the reader's screen is dark.

    No custom properties: the programs that turn SVG into PDF for a paper do not know them.
    """
    dark = "".join(f"  {line}\n" for line in _colors(DARK).splitlines())
    return f"\n{SHAPES}{_colors(LIGHT)}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _colors(of: dict[str, str]) -> str:
    rules = [
        ("text", "fill", "ink"), (".paper", "fill", "paper"), (".band", "fill", "band"),
        (".axis, .note, .word, .caption, .legend, .doc, .open .name, .kept .name", "fill", "dim"),
        (".box", "fill", "box"), (".box, .token, .logits rect", "stroke", "frame"),
        (".token, .logits rect, .node rect", "fill", "node"), (".under, .label", "stroke", "paper"),
        *((f".wire.{name}", "stroke", name) for name in NAMES.values()),
        *((f".fill.{name}", "fill", name) for name in NAMES.values()),
        (".wire.attends", "stroke", "dim"), (".fill.attends", "fill", "dim"),
    ]  # fmt: skip
    return "".join(f"{selector} {{ {what}: {of[color]}; }}\n" for selector, what, color in rules)
