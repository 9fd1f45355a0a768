"""What the obvious ways put in place of outputs, and where: worked out beforehand, untimed.

Both compute a `Run` of the engine's as most published code would: one forward pass per circuit over
all prompts, with every ablated output replaced by a mask. They share their masks and values, which
are made ready before the clock starts; that favours them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from plain_model import Changes, Plain, batches_of_rows, tokens_of
from torch import Tensor

from circuitspec.engine.runs import LiveEdges, Means, Replace, ReplaceAllBut, Rows, Run, Source
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import EVERYWHERE, Head, Input, Logits, Mlp, Position
from circuitspec.task.records import Prompt, PromptSet


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Outputs of all senders: input [B, T, W], z of each layer [B, T, H, D], MLPs [B, T, W]."""

    input: Tensor
    z: tuple[Tensor, ...]
    mlps: tuple[Tensor, ...]


class Part:
    """Some prompts of one length, and the values that replace their outputs."""

    def __init__(self, prompts: Sequence[Prompt], rows: list[int], tokens: Tensor) -> None:
        self.prompts = prompts
        self.rows = rows
        self.tokens = tokens
        self.values: dict[Source, Outputs] = {}
        self.clean: Outputs | None = None
        answers = [(p.answers["IO"][0], p.answers["S1"][0]) for p in prompts]
        self.edge_masks: dict[Run, EdgeMasks] = {}
        self.answers = torch.tensor(answers, device=tokens.device)
        self._places: dict[Position, Tensor] = {}

    def place(self, position: Position) -> Tensor:
        """Where a position falls: bool [B, T]."""
        if position not in self._places:
            mask = torch.zeros(self.tokens.shape, dtype=torch.bool)
            for i, prompt in enumerate(self.prompts):
                mask[i, list(prompt.at(position))] = True
            self._places[position] = mask.to(self.tokens.device)
        return self._places[position]

    def logit_diff(self, logits: Tensor) -> Tensor:
        """IO less S1 of last-position logits [B, V]."""
        io, s1 = logits.gather(1, self.answers).double().unbind(1)
        return io - s1


def parts_of(
    plain: Plain, sets: dict[str, PromptSet], runs: Iterable[Run], size: int
) -> list[Part]:
    """The evaluation prompts in batches, with whatever values `runs` put in."""
    device = plain.weights.device
    evaluation = sets["evaluation"]
    sources: set[Source] = set()
    for run in runs:
        sources |= {write.source for write in run.writes}
        sources |= {part.source for part in (run.edges, run.path) if part is not None}
    parts = [
        Part([evaluation.prompts[row] for row in rows], rows, tokens_of(evaluation, rows, device))
        for rows in batches_of_rows(evaluation, size)
    ]
    for part in parts:
        part.clean = record(plain, part.tokens)
    for source in sorted(sources, key=str):
        for part in parts:
            if isinstance(source, Means):
                part.values[source] = _means(plain, sets[source.reference], part)
            elif isinstance(source, Rows):
                chosen = [source.rows[row] for row in part.rows]
                part.values[source] = record(plain, tokens_of(sets[source.prompts], chosen, device))
            else:
                raise ValueError(f"the bench has no values for {source}")
    return parts


def record(plain: Plain, tokens: Tensor) -> Outputs:
    """Every sender's output in an unmodified run."""
    zs: list[Tensor] = []
    mlps: list[Tensor] = []

    def keep(into: list[Tensor], value: Tensor) -> Tensor:
        into.append(value)
        return value

    changes = Changes(z=lambda _, z: keep(zs, z), mlp=lambda _, out: keep(mlps, out))
    plain.logits(tokens, changes)
    return Outputs(embedded(plain, tokens), tuple(zs), tuple(mlps))


def embedded(plain: Plain, tokens: Tensor) -> Tensor:
    """Token and positional embedding [B, T, W]."""
    weights = plain.weights
    assert weights.pos_embed is not None
    return weights.embed[tokens] + weights.pos_embed[: tokens.shape[1]]


def _means(plain: Plain, reference: PromptSet, part: Part) -> Outputs:
    """Means over template: each prompt of `part` has that of its own."""
    found: dict[str, Outputs] = {}
    for template in sorted({prompt.template for prompt in part.prompts}):
        rows = [row for row, prompt in enumerate(reference) if prompt.template == template]
        of = record(plain, tokens_of(reference, rows, part.tokens.device))
        mean = [value.double().mean(0).to(value.dtype) for value in (of.input, *of.z, *of.mlps)]
        n = len(of.z)
        found[template] = Outputs(mean[0], tuple(mean[1 : 1 + n]), tuple(mean[1 + n :]))
    each = [found[prompt.template] for prompt in part.prompts]
    n = len(plain.weights.blocks)
    return Outputs(
        torch.stack([of.input for of in each]),
        tuple(torch.stack([of.z[layer] for of in each]) for layer in range(n)),
        tuple(torch.stack([of.mlps[layer] for of in each]) for layer in range(n)),
    )


# By nodes


def node_changes(run: Run, part: Part, n_layers: int, n_heads: int) -> Changes:
    """What a run by nodes changes: outputs replaced where its one write says."""
    (write,) = run.writes
    values = part.values[write.source]
    inverse = isinstance(write, ReplaceAllBut)
    elements = write.elements if isinstance(write, Replace) else write.live
    heads, mlps = element_masks(elements, part, n_layers, n_heads)
    if inverse:
        heads, mlps = ~heads, ~mlps

    def z(layer: int, value: Tensor) -> Tensor:
        return torch.where(heads[layer][..., None], values.z[layer], value)

    def mlp(layer: int, value: Tensor) -> Tensor:
        return torch.where(mlps[layer][..., None], values.mlps[layer], value)

    return Changes(z=z, mlp=mlp)


def element_masks(
    elements: Iterable[Element], part: Part, n_layers: int, n_heads: int
) -> tuple[Tensor, Tensor]:
    """Where elements are: bool [L, B, T, H] of heads, [L, B, T] of MLPs."""
    b, t = part.tokens.shape
    heads = torch.zeros(n_layers, b, t, n_heads, dtype=torch.bool, device=part.tokens.device)
    mlps = torch.zeros(n_layers, b, t, dtype=torch.bool, device=part.tokens.device)
    for element in elements:
        match element.node:
            case Head(layer=layer, index=index):
                heads[layer, :, :, index] |= part.place(element.position)
            case Mlp(layer=layer):
                mlps[layer] |= part.place(element.position)
            case Input():
                raise ValueError("the bench writes no inputs")
    return heads, mlps


# Path patching


@dataclass(frozen=True, slots=True, eq=False)
class PathPasses:
    """The passes of path patching into one channel of one head at one position, or into the logits
    that are read, where the first has the answer."""

    first: Changes
    second: Changes | None


def path_passes(run: Run, part: Part, n_layers: int, n_heads: int) -> PathPasses:
    """Pass 1 freezes all else at its clean value and reads the channel, pass 2 holds it."""
    path, clean = run.path, part.clean
    assert path is not None
    assert clean is not None
    ((receiver, channel, position),) = path.receivers
    values = part.values[path.source]
    heads, _ = element_masks(path.senders, part, n_layers, n_heads)
    frozen = clean
    read: dict[str, Tensor] = {}

    def z(layer: int, value: Tensor) -> Tensor:
        return torch.where(heads[layer][..., None], values.z[layer], frozen.z[layer])

    def mlp(layer: int, value: Tensor) -> Tensor:
        return frozen.mlps[layer] if path.through == "direct" else value

    if isinstance(receiver, Logits):
        return PathPasses(Changes(z=z, mlp=mlp), None)
    assert isinstance(receiver, Head)
    of, index = int(receiver.layer), int(receiver.index)

    def keep(layer: int, name: str, value: Tensor) -> Tensor:
        if (layer, name) == (of, channel):
            read["value"] = value[:, :, index]
        return value

    def hold(layer: int, name: str, value: Tensor) -> Tensor:
        if (layer, name) == (of, channel):
            value = value.clone()
            where = part.place(position)[..., None]
            value[:, :, index] = torch.where(where, read["value"], value[:, :, index])
        return value

    return PathPasses(Changes(z=z, mlp=mlp, channel=keep), Changes(channel=hold))


# By edges


class EdgeMasks:
    """Which senders every receiver channel reads live: one row a receiver, one column a sender.

    Columns: the input, then of each layer its heads and its MLP. Rows, of each layer: q, k and v of
    its heads, then its MLP; last the logits. `whole` [R, S] holds where every edge stands at every
    position; else `placed` [B*T, R, S].
    """

    def __init__(self, live: LiveEdges, part: Part, n_layers: int, n_heads: int) -> None:
        self.n_heads = n_heads
        edges = live.edges
        size = (self.row_of_layer(n_layers) + 1, 1 + n_layers * (n_heads + 1))
        device = part.tokens.device
        self.whole: Tensor | None = None
        self.placed: Tensor | None = None
        if all(edge.position.label == EVERYWHERE for edge in edges):
            self.whole = self._matrix(edges, size).to(device)
        else:
            b, t = part.tokens.shape
            placed = torch.zeros(b * t, *size, device=device)
            for position in sorted({edge.position for edge in edges}, key=str):
                here = self._matrix([e for e in edges if e.position == position], size).to(device)
                where = part.place(position).flatten()
                placed[where] = torch.maximum(placed[where], here)
            self.placed = placed
        if live.all_but:
            raise ValueError("the bench cuts no single edges")

    def mix(self, rows: slice, differences: Tensor) -> Tensor:
        """What receivers read beyond the ablated stream, of differences [S, N, W]: [R, N, W]."""
        senders = len(differences)
        if self.whole is not None:
            mask = self.whole[rows, :senders]
            return (mask @ differences.flatten(1)).view(len(mask), *differences.shape[1:])
        assert self.placed is not None
        mask = self.placed[:, rows, :senders]
        return (mask @ differences.transpose(0, 1)).transpose(0, 1)

    def row_of_layer(self, layer: int) -> int:
        """The first row of a layer's receivers."""
        return layer * (3 * self.n_heads + 1)

    def column_of_layer(self, layer: int) -> int:
        """The first column of a layer's senders."""
        return 1 + layer * (self.n_heads + 1)

    def _matrix(self, edges: Iterable[Edge], size: tuple[int, int]) -> Tensor:
        listed = [(self._row(edge, size[0]), self._column(edge)) for edge in edges]
        mask = torch.zeros(size)
        if listed:
            rows, columns = zip(*listed, strict=True)
            mask[list(rows), list(columns)] = 1.0
        return mask

    def _row(self, edge: Edge, rows: int) -> int:
        match edge.receiver:
            case Head(layer=layer, index=index):
                return self.row_of_layer(layer) + "qkv".index(edge.channel) * self.n_heads + index
            case Mlp(layer=layer):
                return self.row_of_layer(layer) + 3 * self.n_heads
            case Logits():
                return rows - 1

    def _column(self, edge: Edge) -> int:
        match edge.sender:
            case Input():
                return 0
            case Head(layer=layer, index=index):
                return self.column_of_layer(layer) + index
            case Mlp(layer=layer):
                return self.column_of_layer(layer) + self.n_heads


class Mixer:
    """The residual stream by edges: that of ablated values, and what live senders differ by."""

    def __init__(self, plain: Plain, part: Part, masks: EdgeMasks, cut: Outputs) -> None:
        self.weights = plain.weights
        self.masks = masks
        self.cut = cut
        b, t, w = cut.input.shape
        shape = plain.weights.shape
        senders = 1 + shape.n_layers * (shape.n_heads + 1)
        self.differences = cut.input.new_empty(senders, b * t, w)
        self.differences[0] = (embedded(plain, part.tokens) - cut.input).flatten(0, 1)
        self.stream = cut.input.flatten(0, 1)
        self.known = 1

    def receivers(self, layer: int, first: int, count: int) -> Tensor:
        """The residual inputs [count, N, W] of some receivers of a layer, in the masks' order."""
        start = self.masks.row_of_layer(layer) + first
        return self.stream + self.masks.mix(slice(start, start + count), self.live)

    @property
    def live(self) -> Tensor:
        """Differences of the senders there have been."""
        return self.differences[: self.known]

    def heads(self, layer: int, channel: int) -> Tensor:
        """q, k or v [N, H, D] of a layer's heads, each from its own residual input."""
        block, h = self.weights.blocks[layer], self.masks.n_heads
        normed = block.ln1(self.receivers(layer, channel * h, h))
        matrix = (block.w_q, block.w_k, block.w_v)[channel]
        bias = (block.b_q, block.b_k, block.b_v)[channel]
        assert bias is not None
        return torch.baddbmm(bias[:, None], normed, matrix).transpose(0, 1)

    def mlp_in(self, layer: int) -> Tensor:
        """The residual input [N, W] of a layer's MLP."""
        return self.receivers(layer, 3 * self.masks.n_heads, 1)[0]

    def final(self) -> Tensor:
        """The residual [N, W] that the logits read."""
        return self.receivers(self.weights.shape.n_layers, 0, 1)[0]

    def add_heads(self, layer: int, z: Tensor) -> None:
        """Go on past a layer's heads, of z [B, T, H, D]."""
        block, h = self.weights.blocks[layer], self.masks.n_heads
        difference = (z - self.cut.z[layer]).flatten(0, 1).transpose(0, 1)
        at = self.masks.column_of_layer(layer)
        torch.bmm(difference, block.w_o, out=self.differences[at : at + h])
        assert block.b_o is not None
        cut = self.cut.z[layer].flatten(2).flatten(0, 1)
        self.stream = self.stream + torch.addmm(block.b_o, cut, block.w_o.flatten(0, 1))
        self.known = at + h

    def add_mlp(self, layer: int, out: Tensor) -> None:
        """Go on past a layer's MLP, of its output [N, W]."""
        cut = self.cut.mlps[layer].flatten(0, 1)
        self.differences[self.known] = out - cut
        self.known += 1
        self.stream = self.stream + cut
