"""What can be claimed of a story, as text and as the exact figure that decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from random import Random

import numpy as np

from proving.exact import depth
from proving.figure import Claim, Figure, Unit
from proving.machine import Array
from proving.scrub import is_told_apart, scrub
from proving.story import Edge, Role, Story
from proving.world import Ablation, Elements, World

ENOUGH = 0.2
"""What a ratio is over must be this much of the model's metric, or the claim is not made."""

MANY = 20
"""Stories with more declared edges than this have no claim on every edge."""

RANDOM_SETS = 8
"""Sets K that a completeness claim draws at random."""

SCRUB_DRAWS = 16
"""Draws a prompt in a claim that scrubs."""


def _place(node: str) -> tuple[float, int]:
    """Where a node comes in the order in which random sets are drawn."""
    return depth(node), int(node.partition(".h")[2] or 0)


def _is_zero(change: Array) -> bool:
    return bool(np.abs(change).max() < 1e-9)


Figured = Callable[[], Figure | None]
"""A figure when it is asked for; None where the claim would mean nothing."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Every claim of a story in a world, with its figure."""

    world: World
    story: Story

    def all(self) -> Iterator[tuple[Claim, Figured]]:
        """Claims and figures, in a fixed order."""
        for ablation in self.ablations():
            yield from self.faithful(ablation)
            yield from self.knockouts(ablation)
            yield from self.given(ablation)
            yield from self.complete(ablation)
            yield from self.minimal(ablation)
        for baseline in self.world.task.baselines:
            yield from self.patches(baseline)
            yield from self.paths(baseline)
            yield from self.restored(baseline)
        yield from self.readings()
        yield from self.scrubs()

    def ablations(self) -> Iterator[Ablation]:
        """Every way of cutting that these claims use."""
        for by in ("nodes", "edges"):
            yield Ablation(by=by, value="zero")
            for baseline in self.world.task.baselines:
                yield Ablation(by=by, value="counterfactual", baseline=baseline)
                yield Ablation(by=by, value="mean", baseline=baseline, over="template")
                yield Ablation(by=by, value="mean", baseline=baseline, over="position")

    @property
    def model(self) -> Array:
        """The model's metric."""
        return self.world.metric(self.world.clean().logits)

    def _of_model(self, logits: Array) -> Figure:
        metric = self.world.metric(logits)
        return Figure(parts=(metric,), under=self.model, still=_is_zero(metric - self.model))

    # ── cutting ──────────────────────────────────────────────────────────────────────────────────

    def faithful(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """The circuit alone."""
        measures: tuple[tuple[str, Unit], ...] = (
            ("logit_diff", "of model"),
            ("ratio", "plain"),
            ("agreement", "plain"),
            ("error", "of model"),
            ("kl", "plain"),
            ("recovered", "plain"),
        )
        for left, unit in measures:
            claim = Claim(
                kind=f"faithful by {ablation.by}",
                key=f"faithful {left} {ablation.text}",
                actions=(f"ablate complement {ablation.text}",),
                left=left,
                unit=unit,
            )
            yield claim, partial(self._faithful, ablation, left)

    def _faithful(self, ablation: Ablation, left: str) -> Figure | None:
        world, model = self.world, self.model
        logits = world.circuit(self.story, ablation)
        mine, agreement = world.metric(logits), world.agreement(logits)
        error = np.abs(mine - model)
        half = 0.5 * abs(model.mean())
        if abs(error.mean() - half) < 1e-6:
            return None  # blind or not: rounding decides
        blind = bool(agreement.mean() < 0.5 or error.mean() > half)
        match left:
            case "agreement":
                return Figure(parts=(agreement,))
            case "error":
                return Figure(parts=(error,), under=model)
            case "kl":
                return Figure(parts=(world.kl(logits),))
            case "recovered":
                empty = world.metric(world.circuit(self.story, ablation, empty=True))
                if abs((model - empty).mean()) < ENOUGH * abs(model.mean()):
                    return None
                return Figure(parts=(mine - empty,), under=model - empty, blind=blind)
            case _:
                return Figure(parts=(mine,), under=model, blind=blind)

    def knockouts(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """The model without a role."""
        for name in self.story.roles:
            claim = Claim(
                kind="knock-out",
                key=f"knockout {name} {ablation.text}",
                actions=(f"ablate {name} {ablation.text}",),
                left="logit_diff",
                unit="of model",
            )
            yield claim, partial(self._knockout, ablation, name)

    def _knockout(self, ablation: Ablation, name: str) -> Figure:
        cut = self._leaving(self.story.elements(name), ablation)
        return self._of_model(self.world.knockout(ablation, *cut))

    def given(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Knock-outs, and the circuit alone, of the model without another role."""
        if ablation.by == "edges" or ablation.value == "counterfactual":
            return
        for given in self.story.roles:
            for name in ("complement", *self.story.roles):
                if name == given:
                    continue
                claim = Claim(
                    kind="given ablated",
                    key=f"given {given} {name} {ablation.text}",
                    actions=(
                        f"given ablated {given}",
                        f"ablate {name} {ablation.text}",
                        *(["accept blind"] if name == "complement" else []),
                    ),
                    left="logit_diff",
                    unit="of model",
                )
                yield claim, partial(self._given, ablation, given, name)

    def _given(self, ablation: Ablation, given: str, name: str) -> Figure | None:
        """Zeros and means are constants, so two knock-outs are one of both."""
        out = self.story.elements(given)
        model = self.world.metric(self.world.knockout(ablation, out))
        if model.mean() < ENOUGH * abs(self.model.mean()):
            return None
        if name == "complement":
            logits = self.world.circuit(self.story, ablation, out)
        else:
            logits = self.world.knockout(ablation, out | self.story.elements(name))
        metric = self.world.metric(logits)
        return Figure(parts=(metric,), under=model, still=_is_zero(metric - model))

    def complete(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Incompleteness over the roles, and over sets drawn at random."""
        for sets in ("roles", f"random {RANDOM_SETS}"):
            claim = Claim(
                kind="completeness",
                key=f"complete {sets} {ablation.text}",
                actions=(f"ablate {ablation.text}", f"knockouts {sets}"),
                left="incompleteness",
                unit="of model",
            )
            yield claim, partial(self._complete, ablation, sets)

    def _complete(self, ablation: Ablation, sets: str) -> Figure:
        if sets == "roles":
            cuts = [self._leaving(self.story.elements(name), ablation) for name in self.story.roles]
        else:
            cuts = list(self._random_sets(ablation))
        parts = []
        still = False
        for elements, edges in cuts:
            mine = self.world.metric(self.world.circuit(self.story, ablation, elements, edges))
            whole = self.world.metric(self.world.knockout(ablation, elements, edges))
            parts.append(mine - whole)
            still = still or (bool(elements or edges) and _is_zero(whole - self.model))
        return Figure(parts=tuple(parts), under=self.model, over="largest size", still=still)

    def _leaving(self, elements: Elements, ablation: Ablation) -> tuple[Elements, frozenset[Edge]]:
        """A set of elements; by edges, all edges of the circuit that leave them."""
        if ablation.by == "nodes":
            return elements, frozenset()
        edges = self.story.edges(self.world.machine.n_layers)
        return frozenset(), frozenset(e for e in edges if (e[0], e[3]) in elements)

    def _random_sets(self, ablation: Ablation) -> Iterator[tuple[Elements, frozenset[Edge]]]:
        """The sets that `random N` draws with seed 0: each part with probability one half."""
        elements = sorted(self.story.elements(), key=lambda e: (_place(e[0]), e[1]))
        edges = sorted(
            self.story.declared(),
            key=lambda e: (_place(e[0]), _place(e[1]), ("q", "k", "v", "in", "").index(e[2]), e[3]),
        )
        for number in range(RANDOM_SETS):
            random = Random(f"0/knockouts/random/{number}")
            if ablation.by == "nodes":
                yield frozenset(e for e in elements if random.random() < 0.5), frozenset()
            else:
                yield frozenset(), frozenset(e for e in edges if random.random() < 0.5)

    def minimal(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """The effect of every role or edge, of every head or node given the rest of its role."""
        for unit in ("role", "head", "node", "edge"):
            if unit == "edge" and (ablation.by == "nodes" or self._has_many_edges()):
                continue
            claim = Claim(
                kind="minimality",
                key=f"minimal {unit} {ablation.text}",
                actions=(f"ablate {ablation.text}", f"each {unit}"),
                left="effect",
                unit="of model",
            )
            yield claim, partial(self._minimal, ablation, unit)

    def _has_many_edges(self) -> bool:
        """Whether there are too many to take out each in a claim of hundreds."""
        return len(self.story.declared()) > MANY

    def _minimal(self, ablation: Ablation, unit: str) -> Figure:
        parts = []
        for name, role in self.story.roles.items() if unit != "edge" else ():
            cut = self.story.elements(name)
            without = self.world.circuit(self.story, ablation, *self._leaving(cut, ablation))
            rests: list[Elements] = [frozenset()]
            if unit != "role":
                nodes = [n for n in role.nodes if unit == "node" or n[0] == "a"]
                rests = [self._rest(cut, node) for node in nodes]
            for rest in rests:
                left = self._leaving(rest, ablation)
                before = self.world.circuit(self.story, ablation, *left)
                parts.append(self.world.metric(before) - self.world.metric(without))
        if unit == "edge":
            parts = self._each_edge(ablation)
        still = any(map(_is_zero, parts))
        return Figure(parts=tuple(parts), under=self.model, over="smallest size", still=still)

    @staticmethod
    def _rest(cut: Elements, node: str) -> Elements:
        return frozenset(element for element in cut if element[0] != node)

    def _each_edge(self, ablation: Ablation) -> list[Array]:
        """Every declared edge, given the others from its sender's to its receiver's role."""
        declared = self.story.declared()
        parts = []
        for edge in sorted(declared):
            given = frozenset(
                other
                for other in declared - {edge}
                if self._sending(other) & self._sending(edge)
                and self._receiving(other) & self._receiving(edge)
            )
            before = self.world.circuit(self.story, ablation, cut_edges=given)
            after = self.world.circuit(self.story, ablation, cut_edges=given | {edge})
            parts.append(self.world.metric(before) - self.world.metric(after))
        return parts

    def _sending(self, edge: Edge) -> frozenset[str]:
        """The roles an edge comes from, or `input`."""
        node, _, _, label = edge
        if node == "input":
            return frozenset({"input"})
        return frozenset(
            name
            for name, role in self.story.roles.items()
            if node in role.nodes and label in role.at
        )

    def _receiving(self, edge: Edge) -> frozenset[str]:
        """The roles an edge leads to; of the logits, these themselves."""
        _, node, channel, label = edge
        if node == "logits":
            return frozenset({"logits"})
        return frozenset(
            name
            for name, role in self.story.roles.items()
            if node in role.nodes and label in role.reads_at(channel)
        )

    # ── patching ─────────────────────────────────────────────────────────────────────────────────

    def patches(self, baseline: str) -> Iterator[tuple[Claim, Figured]]:
        """Activation patching of every role."""
        for name in self.story.roles:
            for left in ("logit_diff", "agreement"):
                claim = Claim(
                    kind="activation patching",
                    key=f"patch {left} {name} {baseline}",
                    actions=(f"patch {name} from {baseline}",),
                    left=left,
                    unit="of model" if left == "logit_diff" else "plain",
                )
                yield claim, partial(self._patch, baseline, name, left)

    def _patch(self, baseline: str, name: str, left: str) -> Figure:
        other = self.world.other(baseline).out
        logits = self.world.patched(self.story.elements(name), other, (baseline, "patch"))
        if left == "agreement":
            still = _is_zero(self.world.metric(logits) - self.model)
            return Figure(parts=(self.world.agreement(logits),), still=still)
        return self._of_model(logits)

    def paths(self, baseline: str) -> Iterator[tuple[Claim, Figured]]:
        """Path patching along every declared pair of a sender and a receiver, and on from there."""
        mlps = self.world.machine.d_mlp is not None
        arrows = dict(self._arrows())
        chains = [(arrow,) for arrow in arrows]
        chains += [
            (one, two) for one, two in product(arrows, repeat=2) if one[1].split(".")[0] == two[0]
        ]
        for chain in chains:
            hops = tuple(arrows[arrow] for arrow in chain)
            written = " -> ".join((chain[0][0], *(receiver for _, receiver in chain)))
            for how in ("direct", "through mlps") if mlps else ("direct",):
                claim = Claim(
                    kind="path patching" if len(chain) == 1 else "path of two hops",
                    key=f"path {written} {baseline} {how}",
                    actions=(f"patch all {written} from {baseline} {how}",),
                    left="logit_diff",
                    unit="of model",
                )
                yield claim, partial(self._path, baseline, hops, how)

    def _arrows(self) -> Iterator[tuple[tuple[str, str], frozenset[Edge]]]:
        """Every sender and receiver of a line that does not say where, with their edges."""
        for line in self.story.lines:
            for sender, receiver in product(line.senders, line.receivers):
                one = replace(line, senders=(sender,), receivers=(receiver,))
                edges = replace(self.story, lines=(one,)).declared()
                if edges and not one.at:
                    yield (sender, receiver), edges

    def _path(self, baseline: str, hops: tuple[frozenset[Edge], ...], how: str) -> Figure:
        return self._of_model(self.world.path(hops, baseline, through_mlps=how == "through mlps"))

    def restored(self, baseline: str) -> Iterator[tuple[Claim, Figured]]:
        """Denoising: every role put back into the counterfactual's run."""
        for name in self.story.roles:
            claim = Claim(
                kind="denoising",
                key=f"restore {name} {baseline}",
                actions=(f"run from {baseline} restore {name}",),
                left="recovered",
                unit="plain",
            )
            yield claim, partial(self._restored, baseline, name)

    def _restored(self, baseline: str, name: str) -> Figure | None:
        corrupted = self.world.metric(self.world.restored(baseline, frozenset()))
        if abs((self.model - corrupted).mean()) < ENOUGH * abs(self.model.mean()):
            return None
        back = self.world.metric(self.world.restored(baseline, self.story.elements(name)))
        still = _is_zero(back - corrupted)
        return Figure(parts=(back - corrupted,), under=self.model - corrupted, still=still)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def readings(self) -> Iterator[tuple[Claim, Figured]]:
        """Attention and direct logit attribution."""
        for name, role in self.story.roles.items():
            if role.keys:
                for left in (f"attention({name})", f"each attention({name})"):
                    claim = Claim(kind="attention", key=left, actions=(), left=left, unit="plain")
                    yield claim, partial(self._attention, role, left)
            if "END" in role.at:
                left = f"dla({name})"
                claim = Claim(
                    kind="direct attribution", key=left, actions=(), left=left, unit="of model"
                )
                yield claim, partial(self._attribution, role)

    def _attention(self, role: Role, left: str) -> Figure:
        """The mean over heads and query positions, or each."""
        each = tuple(
            self.world.attention(node, at, role.keys) for node in role.nodes for at in role.at
        )
        if left.startswith("each"):
            return Figure(parts=each, over="each")
        return Figure(parts=(np.asarray(np.mean(each, axis=0)),))

    def _attribution(self, role: Role) -> Figure:
        parts = [self.world.attribution(node) for node in role.nodes]
        return Figure(parts=(np.asarray(np.sum(parts, axis=0)),), under=self.model)

    # ── scrubbing ────────────────────────────────────────────────────────────────────────────────

    def scrubs(self) -> Iterator[tuple[Claim, Figured]]:
        """Causal scrubbing of all that is carried."""
        if not is_told_apart(self.story):
            return
        measures: tuple[tuple[str, Unit], ...] = (
            ("scrub_recovered", "plain"),
            ("logit_diff", "of model"),
        )
        for left, unit in measures:
            claim = Claim(
                kind="scrubbing",
                key=f"scrub {left}",
                actions=(f"scrub over task draws {SCRUB_DRAWS}",),
                left=left,
                unit=unit,
            )
            yield claim, partial(self._scrub, left)

    def _scrub(self, left: str) -> Figure | None:
        found = scrub(self.world, self.story)
        if left == "logit_diff":
            parts, under = found.scrubbed, self.model
        else:
            parts, under = found.scrubbed - found.random, self.model - found.random
        size = abs(float(under.mean()))
        if size < ENOUGH * abs(self.model.mean()):
            return None
        return Figure(parts=(parts,), under=under, error=found.error / size)
