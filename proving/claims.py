"""What can be claimed of a story, as text and as the exact figure that decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

import numpy as np

from proving.machine import Array
from proving.scrub import is_told_apart, scrub
from proving.story import Edge, Role, Story
from proving.world import Ablation, Elements, World

ENOUGH = 0.2
"""What a ratio is over must be this much of the model's metric, or the claim is not made."""

MANY = 20
"""Stories with more declared edges than this have no claim on every edge."""

SCRUB_DRAWS = 16
"""Draws a prompt in a claim that scrubs."""

Unit = Literal["of model", "plain"]
Over = Literal["one", "each", "largest size", "smallest size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is compared with the threshold, exactly.

    `parts` are signed series over the population [n]. Divided by the mean of `under` (the model's
    metric, or what a ratio is over), their means are the values. `over` says what becomes of
    several: each must pass, or the size of the largest or smallest counts. `blind`: a faithfulness
    claim on a mean, with agreement below one half or the mean error above half of the model's.
    `still`: some intervention leaves the metric of every prompt as it was, as inert ones do.
    `error`: the standard error of a value that is a mean over draws, 0 of one that is exact.
    """

    parts: tuple[Array, ...]
    under: Array | None = None
    over: Over = "one"
    blind: bool = False
    still: bool = False
    error: float = 0.0

    def value(self, operator: str) -> float:
        """The number that `operator` compares."""
        under = 1.0 if self.under is None else float(self.under.mean())
        means = [float(part.mean()) / under for part in self.parts]
        if self.over == "one":
            (mean,) = means
            return mean
        if self.over == "each":
            return min(means) if operator == ">=" else max(means)
        sizes = [abs(mean) for mean in means]
        # `effect <= t` is of every element, `effect >= t` too; one K is enough for incompleteness
        smallest = self.over == "smallest size" and operator == ">="
        return min(sizes) if smallest else max(sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One kind of figure of a story: how a spec asks for it, and how it is reckoned.

    `key` is the same for a story and its mutants, so that the two can be compared.
    """

    kind: str
    key: str
    actions: tuple[str, ...]
    left: str
    unit: Unit

    def text(self, name: str, operator: str, threshold: float, top: float | None = None) -> str:
        """As a statement. `within` takes a share of the model's metric, `==` a band up to `top`."""
        if operator == "within":
            bound = f"within {100 * threshold:.4f}% of model.logit_diff"
        elif operator == "==":
            assert top is not None
            middle, half = (threshold + top) / 2, (top - threshold) / 2
            bound = f"== {middle:.6f} +- {half:.6f}"
        elif self.unit == "of model":
            bound = f"{operator} {_signed(100 * threshold, 4)}% * model.logit_diff"
        else:
            bound = f"{operator} {_signed(threshold, 6)}"
        body = "  ".join([*self.actions, f"require {self.left} {bound} ci 95"])
        return f"expect {name} {{ {body} }}"


def _signed(number: float, digits: int) -> str:
    return f"{number:.{digits}f}"


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
        cut = self.story.elements(name)
        return self._of_model(self.world.knockout(self.story, ablation, cut))

    def complete(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Incompleteness over the roles."""
        claim = Claim(
            kind="completeness",
            key=f"complete {ablation.text}",
            actions=(f"ablate {ablation.text}", "knockouts roles"),
            left="incompleteness",
            unit="of model",
        )
        yield claim, partial(self._complete, ablation)

    def _complete(self, ablation: Ablation) -> Figure:
        parts = []
        still = False
        for name in self.story.roles:
            cut = self.story.elements(name)
            mine = self.world.metric(self.world.circuit(self.story, ablation, cut))
            whole = self.world.metric(self.world.knockout(self.story, ablation, cut))
            parts.append(mine - whole)
            still = still or _is_zero(whole - self.model)
        return Figure(parts=tuple(parts), under=self.model, over="largest size", still=still)

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
            without = self.world.circuit(self.story, ablation, cut)
            rests: list[Elements] = [frozenset()]
            if unit != "role":
                nodes = [n for n in role.nodes if unit == "node" or n[0] == "a"]
                rests = [self._rest(cut, node) for node in nodes]
            for rest in rests:
                before = self.world.circuit(self.story, ablation, rest)
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
        """Path patching along every declared pair of a sender and a receiver."""
        mlps = self.world.machine.d_mlp is not None
        for line in self.story.lines:
            for sender, receiver in product(line.senders, line.receivers):
                one = replace(line, senders=(sender,), receivers=(receiver,))
                edges = replace(self.story, lines=(one,)).declared()
                if not edges or one.at:
                    continue
                for how in ("direct", "through mlps") if mlps else ("direct",):
                    claim = Claim(
                        kind="path patching",
                        key=f"path {sender} {receiver} {baseline} {how}",
                        actions=(f"patch all {sender} -> {receiver} from {baseline} {how}",),
                        left="logit_diff",
                        unit="of model",
                    )
                    yield claim, partial(self._path, baseline, edges, how)

    def _path(self, baseline: str, edges: frozenset[Edge], how: str) -> Figure:
        logits = self.world.path(
            frozenset((e[0], e[3]) for e in edges),
            frozenset((e[1], e[2], e[3]) for e in edges),
            baseline,
            through_mlps=how == "through mlps",
        )
        return self._of_model(logits)

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
