"""What can be claimed of a story, as text and as the exact figure that decides it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from proving.figure import Claim, Figure, Unit
from proving.machine import Array
from proving.scrub import is_told_apart, scrub
from proving.sets import Figured, Sets, is_zero
from proving.story import Edge, Role, Story
from proving.world import Ablation, World

ENOUGH = 0.2
"""What a ratio is over must be this much of the model's metric, or the claim is not made."""

AT_MOST = 1024
"""Prompts that a claim which samples until decided may take."""

SCRUB_DRAWS = 16
"""Draws a prompt in a claim that scrubs."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Every claim of a story in a world, with its figure. `seed` is the spec's."""

    world: World
    story: Story
    seed: int = 0

    def all(self) -> Iterator[tuple[Claim, Figured]]:
        """Claims and figures, in a fixed order."""
        sets = self.sets
        for ablation in self.ablations():
            yield from self.faithful(ablation)
            yield from self.knockouts(ablation)
            yield from self.given(ablation)
            yield from sets.complete(ablation)
            yield from sets.searched(ablation)
            yield from sets.minimal(ablation)
            yield from self.until_decided(ablation)
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
            first = self.world.task.baselines[0]
            yield Ablation(by=by, value="mean", baseline=first, over="batch")

    @property
    def sets(self) -> Sets:
        """The claims that take sets out of the circuit."""
        return Sets(world=self.world, story=self.story, seed=self.seed)

    @property
    def model(self) -> Array:
        """The model's metric."""
        return self.world.metric(self.world.clean().logits)

    def _of_model(self, logits: Array) -> Figure:
        metric = self.world.metric(logits)
        return Figure(parts=(metric,), under=self.model, still=is_zero(metric - self.model))

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

    def until_decided(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Claims that sample on until they are decided: the same figures, other intervals."""
        for claim, figured in (*self.faithful(ablation), *self.sets.minimal(ablation)):
            first = claim.key.split()[:2]
            if claim.left in ("logit_diff", "agreement", "error") or first == ["minimal", "role"]:
                actions = (*claim.actions, f"until decided, at most {AT_MOST}")
                key = f"until decided {claim.key}"
                yield replace(claim, kind="until decided", key=key, actions=actions), figured

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
        cut = self.sets.leaving(self.story.elements(name), ablation)
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
        return Figure(parts=(metric,), under=model, still=is_zero(metric - model))

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
            still = is_zero(self.world.metric(logits) - self.model)
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
        still = is_zero(back - corrupted)
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
