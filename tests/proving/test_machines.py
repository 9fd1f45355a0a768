"""The machines do their tasks, and the exact figures are of the checkpoint that is verified."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from circuitspec.language.diagnostics import has_errors
from circuitspec.language.parser import parse
from circuitspec.language.syntax import SpecFile, Task
from circuitspec.task.build import build
from proving.catalogue import Entry, catalogue
from proving.machine import save

from .plain import logits

PROVING = Path(__file__).parents[2] / "proving"
ENTRIES = pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)


def test_only_the_runner_imports_the_package() -> None:
    guilty = set()
    for file in PROVING.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            if any(module.split(".")[0] == "circuitspec" for module in modules):
                guilty.add(file.relative_to(PROVING).as_posix())
    assert guilty == {"run.py"}


@ENTRIES
def test_it_does_its_task(entry: Entry, tmp_path: Path) -> None:
    """In plain torch, from disk; and float64 weight algebra gives the same logits."""
    save(entry.world.machine, tmp_path)
    task = entry.world.task
    every = logits(tmp_path, torch.tensor(task.tokens))
    found = torch.tensor(task.at_end(every.numpy()))
    right = torch.tensor([prompt.right for prompt in task.prompts])
    assert (found.argmax(-1) == right).float().mean() >= 0.99
    exact = task.at_end(entry.world.clean().logits)
    assert np.abs(found.numpy() - exact).max() < 1e-4


def _the_task(tree: SpecFile) -> Task:
    (found,) = (s for s in tree.statements if isinstance(s, Task))
    return found


@ENTRIES
def test_its_prompts_are_those_of_the_text(entry: Entry) -> None:
    """The population and every counterfactual, pair by pair."""
    task = entry.world.task
    text = f"circuitspec 1\ntask t {{\n{task.text}\nsample all, reference all, seed 0\n}}\n"
    tree, mistakes = parse(text, "task.circuit")
    assert not has_errors(mistakes)
    built, wrong = build(_the_task(tree), None, base_dir=PROVING, used=task.labels)
    assert built is not None, wrong
    mine = {
        (prompt.template, prompt.tokens): tuple(prompt.other[b] for b in task.baselines)
        for prompt in task.prompts
    }
    theirs = {
        (prompt.template, prompt.tokens): tuple(
            built.counterfactuals[b].prompts[number].tokens for b in task.baselines
        )
        for number, prompt in enumerate(built.evaluation.prompts)
    }
    assert mine == theirs
    assert len(mine) == len(task.prompts)
