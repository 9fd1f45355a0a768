"""The figure as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""

from __future__ import annotations

from circuitspec.report.figure.scene import Box, Scene
from circuitspec.report.figure.style import LIGHT, NAMES


def to_mermaid(scene: Scene) -> str:
    """The text of a Mermaid chart; put it between ```` ```mermaid ```` fences."""
    names = [c.id for c in scene.columns] + [b.id for b in scene.boxes]
    names += [f"logits@{position}" for position in scene.logits]
    # Mermaid's identifiers have no `@` or `+`.
    id_of = {name: f"n{number}" for number, name in enumerate(names)}
    lines = ["flowchart BT"]
    for number, column in enumerate(scene.columns):
        lines.append(f'  subgraph p{number}["{_text(str(column.position))}"]')
        label = _text("\n".join(filter(None, (str(column.position), column.words))))
        lines.append(f'    {id_of[column.id]}(["{label}"])')
        for box in scene.boxes:
            if box.column == column.position:
                lines.append(f'    {id_of[box.id]}["{_label(box)}"]')
                if box.kind != "role":
                    lines.append(f"    style {id_of[box.id]} stroke-dasharray: 5 4")
        lines.append("  end")
    lines += [f'  {id_of[f"logits@{p}"]}(["logits"])' for p in scene.logits]
    styles = []
    for number, bundle in enumerate(scene.bundles):
        source, target = id_of[bundle.source], id_of[bundle.target]
        label = "".join(bundle.channels)
        arrow = "-.->" if bundle.attends else f'-->|"{label}"|' if label else "-->"
        lines.append(f"  {source} {arrow} {target}")
        color = "dim" if bundle.attends else NAMES[bundle.channels[0]]
        styles.append(f"  linkStyle {number} stroke:{LIGHT[color]}")
    return "\n".join([*lines, *styles]) + "\n"


def _label(box: Box) -> str:
    nodes = _text(", ".join(map(str, box.nodes)))
    notes = "".join(f"<br/><i>{_text(note)}</i>" for note in box.notes)
    return f"<b>{_text(box.name)}</b><br/>{nodes}{notes}"


def _text(text: str) -> str:
    """Text as it may stand between Mermaid's quotes."""
    for sign, code in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, code)
    return text.replace("\n", "<br/>")
