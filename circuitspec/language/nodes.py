"""The vocabulary of a transformer's graph: layers, heads, nodes, channels and positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

Layer = NewType("Layer", int)
HeadIndex = NewType("HeadIndex", int)

Channel = Literal["q", "k", "v", "in", ""]
"""Where a receiver reads: a head's `q`, `k`, `v`; an MLP's `in`; `""` for the logits."""

QKV: tuple[Channel, ...] = ("q", "k", "v")


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """An attention head, written `a9.h6`: its contribution through W_O, without b_O."""

    layer: Layer
    index: HeadIndex

    def __str__(self) -> str:
        return f"a{self.layer}.h{self.index}"


@dataclass(frozen=True, slots=True, order=True)
class Mlp:
    """An MLP, written `m3`."""

    layer: Layer

    def __str__(self) -> str:
        return f"m{self.layer}"


@dataclass(frozen=True, slots=True, order=True)
class Input:
    """The token and positional embedding, written `input`."""

    def __str__(self) -> str:
        return "input"


@dataclass(frozen=True, slots=True, order=True)
class Logits:
    """The end of the residual stream, read by the final norm and the unembedding."""

    def __str__(self) -> str:
        return "logits"


INPUT = Input()
LOGITS = Logits()

Sender = Input | Head | Mlp
Receiver = Head | Mlp | Logits
Node = Input | Head | Mlp | Logits


def depth(node: Node) -> tuple[int, int]:
    """Where a node stands in a sequential block: attention before the MLP of its layer."""
    match node:
        case Input():
            return (-1, 0)
        case Head(layer=layer):
            return (layer, 0)
        case Mlp(layer=layer):
            return (layer, 1)
        case Logits():
            return (1 << 30, 0)


def is_upstream(sender: Node, receiver: Node, *, parallel: bool = False) -> bool:
    """Whether `receiver` can read `sender`: a lower layer, or attention→MLP of one layer.

    In parallel blocks (GPT-NeoX) attention and MLP of one layer do not see each other.
    """
    if parallel and not isinstance(sender, Input) and not isinstance(receiver, Logits):
        return depth(sender)[0] < depth(receiver)[0]
    return depth(sender) < depth(receiver)


EVERYWHERE = "*"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a prompt, named by a label of the task: `S1`, `S1+1`, `S1[-1]`, `END`, `BOS`, `*`.

    `label` is a slot, a declared position, `END`, `BOS` or `*` (every position). `index` picks one
    token of a slot of several (`None` where the label is one token; `"*"` for all of its tokens).
    `offset` counts tokens to the right. `but` are positions whose tokens are not meant: no spec
    writes that, but what a K leaves of an edge that keeps add may need it.
    """

    label: str
    offset: int = 0
    index: int | Literal["*"] | None = None
    but: tuple[Position, ...] = ()

    def __str__(self) -> str:
        index = "" if self.index is None else f"[{self.index}]"
        offset = f"{self.offset:+d}" if self.offset else ""
        but = f" but {', '.join(map(str, self.but))}" if self.but else ""
        return f"{self.label}{index}{offset}{but}"

    @property
    def everywhere(self) -> bool:
        """Whether every token of every prompt is meant."""
        return self.label == EVERYWHERE and not self.but


ALL_POSITIONS = Position(EVERYWHERE)
END = Position("END")
BOS = Position("BOS")
