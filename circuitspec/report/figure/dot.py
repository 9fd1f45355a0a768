"""The figure as a Graphviz graph: a cluster for each token position, an edge for each bundle."""

from __future__ import annotations

from circuitspec.report.figure.scene import Box, Bundle, Scene
from circuitspec.report.figure.style import LIGHT, NAMES

STYLES = {"q": "solid", "k": "dashed", "v": "dotted", "in": "solid", "": "bold"}


def to_dot(scene: Scene) -> str:
    """The text of a DOT file. Layers are left to Graphviz, which ranks by the edges."""
    lines = [
        f"digraph {_quoted(scene.name)} {{",
        "  rankdir=BT; compound=true; newrank=true;",
        f"  label={_quoted(scene.doc.strip() if scene.doc else scene.name)}; labelloc=t;",
        '  node [shape=box, style=rounded, fontname="Helvetica"];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    for number, column in enumerate(scene.columns):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f"    label={_quoted(str(column.position))}; style=dotted; labelloc=b;")
        token = f"[label={_quoted(_lines(str(column.position), column.words))}, style=filled]"
        lines.append(f"    {_quoted(column.id)} {token};")
        for box in scene.boxes:
            if box.column == column.position:
                lines.append(f"    {_quoted(box.id)} [label={_quoted(_label(box))}{_style(box)}];")
        lines.append("  }")
    for position in scene.logits:
        lines.append(f'  {_quoted(f"logits@{position}")} [label="logits", style=filled];')
    if scene.columns:
        tokens = "; ".join(_quoted(column.id) for column in scene.columns)
        lines.append(f"  {{ rank=min; {tokens}; }}")
    lines += [f"  {_edge(bundle)};" for bundle in scene.bundles]
    return "\n".join([*lines, "}"]) + "\n"


def _label(box: Box) -> str:
    return _lines(box.name, ", ".join(map(str, box.nodes)), *box.notes)


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _style(box: Box) -> str:
    return "" if box.kind == "role" else ', style="rounded,dashed"'


def _edge(bundle: Bundle) -> str:
    ends = f"{_quoted(bundle.source)} -> {_quoted(bundle.target)}"
    if bundle.attends:
        return f'{ends} [style=dotted, color="{LIGHT["dim"]}", constraint=false]'
    colors = ":".join(LIGHT[NAMES[channel]] for channel in bundle.channels)
    label = "".join(bundle.channels)
    return (
        f'{ends} [label={_quoted(label)}, color="{colors}", style={STYLES[bundle.channels[0]]}, '
        f"tooltip={_quoted(f'{len(bundle.edges)} edges')}]"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
