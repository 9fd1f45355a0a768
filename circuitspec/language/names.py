"""Words that stand for nodes and channels, near misses of them, and names that cannot be given."""

from __future__ import annotations

import re

from circuitspec.language.nodes import INPUT, LOGITS, Channel, Head, HeadIndex, Layer, Mlp, Node
from circuitspec.language.tables import tables

NODE_FUNCTIONS = frozenset(
    {
        "attention",
        "copying",
        "dla",
        "duplicate_token",
        "effect",
        "induction",
        "negative_copying",
        "previous_token",
    }
)
"""Functions whose arguments are nodes: there, `9.10` is the head a9.h10."""

CHANNELS: dict[str, tuple[Channel, ...]] = {
    "q": ("q",),
    "k": ("k",),
    "v": ("v",),
    "qk": ("q", "k"),
    "qv": ("q", "v"),
    "kv": ("k", "v"),
    "qkv": ("q", "k", "v"),
    "in": ("in",),
}

MOST_DIGITS = 6
"""Of a layer's or a head's number: no model comes near it."""

_HEAD = re.compile(r"a([0-9]+)\.h([0-9]+)|L([0-9]+)H([0-9]+)|([0-9]+)\.([0-9]+)")
_MLP = re.compile(r"m([0-9]+)")
_NEARLY_HEAD = re.compile(r"[aAlL]?([0-9]+)[._]?[hH]([0-9]+)|[aAlL]([0-9]+)\.([0-9]+)")
_NEARLY_MLP = re.compile(r"(?:M|mlp|MLP|mlp_|mlp\.)([0-9]+)")


def node_named(text: str) -> Node | None:
    """The node that a word writes out (`9.10`, `L9H10`, `a9.h10`, `m3`, `input`), if it is one."""
    if text == "input":
        return INPUT
    if text == "logits":
        return LOGITS
    if found := _MLP.fullmatch(text):
        return Mlp(Layer(int(found[1]))) if _is_plain(found[1]) else None
    if found := _HEAD.fullmatch(text):
        layer, index = (part for part in found.groups() if part is not None)
        if _is_plain(layer) and _is_plain(index):
            return Head(Layer(int(layer)), HeadIndex(int(index)))
    return None


def _is_plain(digits: str) -> bool:
    """Whether a number is written the one way it is: no leading zeros, no absurd length."""
    return len(digits) <= MOST_DIGITS and (digits == "0" or digits[0] != "0")


def near_node(text: str) -> str | None:
    """What a word that is no node was probably meant for: `A9H9`, `9h9`, `mlp3`, `a09.h9`."""
    if found := _NEARLY_HEAD.fullmatch(text) or _HEAD.fullmatch(text):
        layer, index = (part for part in found.groups() if part is not None)
        if len(layer) <= MOST_DIGITS and len(index) <= MOST_DIGITS:
            return f"a{int(layer)}.h{int(index)}"
    mlp = _NEARLY_MLP.fullmatch(text) or _MLP.fullmatch(text)
    return f"m{int(mlp[1])}" if mlp and len(mlp[1]) <= MOST_DIGITS else None


def is_too_long(text: str) -> bool:
    """Whether a word would be a node if its numbers were not longer than any model's."""
    found = _HEAD.fullmatch(text) or _MLP.fullmatch(text)
    return found is not None and any(len(part or "") > MOST_DIGITS for part in found.groups())


def reserved(name: str) -> str | None:
    """Why a name may not be given to something, or `None`."""
    if node_named(name) is not None or near_node(name) is not None:
        return "it reads as a node of the model"
    if name in tables().reserved:
        return "it is a keyword"
    if name in ("mlps", "heads", "complement"):
        return "it stands for nodes of the model"
    if name in ("END", "BOS"):
        return "it stands for a position of every prompt"
    return None
