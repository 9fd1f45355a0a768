"""The order of token positions, and the words that stand there."""

from __future__ import annotations

import pytest

from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language.nodes import Position
from circuitspec.language.parser import parse
from circuitspec.language.syntax import Task
from circuitspec.report.figure.columns import reading_order, words_at


def info(statements: str) -> TaskInfo:
    tree, mistakes = parse(f"circuitspec 1 task t {{ {statements} }}")
    assert not mistakes
    (task,) = tree.statements
    assert isinstance(task, Task)
    return task_info(task)


IOI = info(
    'template abba "When {IO} and {S1} went to the {place}, {S2} gave it to" '
    'template baba "When {S1} and {IO} went to the {place}, {S2} gave it to" '
    "position NEXT = S1 + 1 position BIG = argmax(IO, S1) position X = find(token = S1)"
)


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ("END S2 S1 IO", "IO S1 S2 END"),
        ("END S2 S1+1 S1 BOS *", "* BOS S1 S1+1 S2 END"),
        ("S2 S2-1 place", "place S2-1 S2"),
        ("S1+1 S1[1] S1[0] S1[-1] S1", "S1 S1[0] S1[1] S1[-1] S1+1"),
        ("BIG S2 IO", "IO BIG S2"),
        ("X END S2", "S2 X END"),
        ("END-1 END S2", "S2 END-1 END"),
    ],
)
def test_reading_order(given: str, ordered: str) -> None:
    named = [position(word) for word in given.split()]
    assert [str(p) for p in reading_order(named, IOI)] == ordered.split()


def position(text: str) -> Position:
    import re

    label, index, offset = re.fullmatch(r"([\w*]+)(?:\[(-?\d+)\])?([+-]\d+)?", text).groups()
    return Position(label, int(offset or 0), None if index is None else int(index))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("S1+1", "went / and"),
        ("NEXT", "went / and"),
        ("S1", ""),
        ("END", "to"),
        ("END-1", "it"),
        ("S2-1", ","),
        ("S2+9", ""),
        ("X", ""),
        ("*", ""),
    ],
)
def test_words(place: str, words: str) -> None:
    assert words_at(position(place), IOI) == words
