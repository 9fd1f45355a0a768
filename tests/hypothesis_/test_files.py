"""`use`: names of other files, and what may not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.hypothesis.resolve import resolve
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.language.parser import parse

from .specs import BODY, TASK, load, marked

SHARED = f"""\
circuitspec 1

words places = "store", "park"
words names = file "names.txt"
protocol paper {{ ablate by nodes with zero }}

{TASK}
hypothesis base {{
  model "toy"
  task t
{BODY}}}
"""


def found(text: str, folder: Path) -> tuple[Diagnostic, ...]:
    tree, mistakes = parse(text, str(folder / "main.circuit"))
    assert mistakes == ()
    return resolve(tree, base_dir=folder)[1]


def test_a_hypothesis_of_another_file_can_be_refined(tmp_path: Path) -> None:
    (tmp_path / "shared.circuit").write_text(SHARED)
    text = 'circuitspec 1\nuse "shared.circuit"\nhypothesis mine refines base {\n drop dup\n}\n'
    (mine,) = load(text, tmp_path)
    assert mine.refines == "base"
    assert list(mine.roles) == ["inhibit", "mover"]
    assert mine.task.name.text == "t"


def test_tasks_and_protocols_are_shared_and_what_is_not_named_is_not(tmp_path: Path) -> None:
    (tmp_path / "shared.circuit").write_text(SHARED)
    own = BODY.replace(
        "  protocol paper { ablate by nodes with mean from abc over template }\n", ""
    )
    text = (
        'circuitspec 1\nuse t, paper from "shared.circuit"\n'
        f'hypothesis mine {{\n  model "toy"\n  task t\n{own}}}\n'
    )
    (mine,) = load(text, tmp_path)
    assert mine.claims[0].ablation is not None
    assert mine.claims[0].ablation.kind == "zero"
    without = text.replace("use t, paper from", "use t from")
    (lost,) = found(without, tmp_path)
    assert (lost.code, marked(lost, without)) == ("H001", "paper")


def test_word_lists_come_along_with_paths_from_the_specs_folder(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "shared.circuit").write_text(SHARED)
    task = TASK.replace("names.english", "names")
    text = (
        'circuitspec 1\nuse "lists/shared.circuit"\n'
        f'hypothesis mine {{\n  model "toy"\n{task}{BODY}}}\n'
    )
    (mine,) = load(text, tmp_path)
    words = [s for s in mine.task.statements or () if isinstance(s, syntax.Words)]
    assert [w.name.text for w in words] == ["names"]
    assert isinstance(words[0].source, syntax.WordsFile)
    assert words[0].source.path.value == "lists/names.txt"


def test_a_files_own_names_come_first(tmp_path: Path) -> None:
    (tmp_path / "shared.circuit").write_text(SHARED)
    text = (
        'circuitspec 1\nuse "shared.circuit"\nprotocol paper { ablate by edges with zero }\n'
        f'hypothesis mine {{\n  model "toy"\n  task t\n{BODY}}}\n'
    ).replace("  protocol paper { ablate by nodes with mean from abc over template }\n", "")
    (mine,) = load(text, tmp_path)
    assert mine.claims[0].ablation is not None
    assert mine.claims[0].ablation.by == "edges"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside.circuit",
        "below/../../outside.circuit",
        "https://example.org/x.circuit",
        "file:///etc/passwd",
        "C:/x.circuit",
        "..\\\\outside.circuit",
        "",
    ],
)
def test_nothing_outside_the_folder_is_read(path: str, tmp_path: Path) -> None:
    (tmp_path / "outside.circuit").write_text(SHARED)
    inside = tmp_path / "inside"
    inside.mkdir()
    text = f'circuitspec 1\nuse "{path}"\n'
    (refused,) = found(text, inside)
    assert (refused.code, marked(refused, text)) == ("H003", f'"{path}"')


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.circuit").write_text(SHARED)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.circuit").symlink_to(tmp_path / "outside.circuit")
    (refused,) = found('circuitspec 1\nuse "link.circuit"\n', inside)
    assert refused.code == "H003"


def test_missing_and_circular_files(tmp_path: Path) -> None:
    (missing,) = found('circuitspec 1\nuse "none.circuit"\n', tmp_path)
    assert missing.code == "H033"
    (tmp_path / "a.circuit").write_text('circuitspec 1\nuse "b.circuit"\n')
    (tmp_path / "b.circuit").write_text('circuitspec 1\nuse "a.circuit"\n')
    (circle,) = found('circuitspec 1\nuse "a.circuit"\n', tmp_path)
    assert (circle.code, circle.span.file.endswith("b.circuit")) == ("H033", True)


def test_mistakes_of_a_used_file_are_told_at_their_own_place(tmp_path: Path) -> None:
    (tmp_path / "bad.circuit").write_text("circuitspec 1\nprotocol p { ablate by sideways }\n")
    (mistake, *_) = found('circuitspec 1\nuse "bad.circuit"\n', tmp_path)
    assert mistake.span.file.endswith("bad.circuit")
    assert mistake.code.startswith("C")


def test_names_a_file_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "shared.circuit").write_text(SHARED)
    text = 'circuitspec 1\nuse papper from "shared.circuit"\n'
    (unknown,) = found(text, tmp_path)
    assert (unknown.code, marked(unknown, text)) == ("H001", "papper")
    assert unknown.hint is not None
    assert "did you mean `paper`" in unknown.hint
