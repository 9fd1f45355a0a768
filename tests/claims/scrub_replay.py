"""A scrub made again from the JSON's draws by the slow reference, and random stories to scrub."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import torch

from circuitspec.hypothesis.shape import exists
from circuitspec.task.pools import pool_of
from circuitspec.task.records import Prompt
from tests.claims.worlds import World, node_of
from tests.reference import slow
from tests.reference.scrub import KEEP, Path, Place, Read, causal_scrub, paths

FEATURES = (
    "token(A)",
    "token(B)",
    "token(A), token(B)",
    "position(A)",
    "order(A, B)",
    "template",
    "equal(A, B2)",
    "A + B",
    "(A + B) mod 3",
    "count(evens, to = here)",
    "count(evens) - count(odds)",
    "sign(count(evens, to = A2) - 1)",
    "order(A, B), token(A2)",
)

TASK = """
  task numbers {
    tokens integer 0..36
    words any = 0..5
    words evens = "0", "2", "4"
    words odds = "1", "3", "5"
    template near "0 {A} {B} {B2} 1 {A2} 2"
    template far  "{B} 3 {A} {B2} 5 {A2} 2"
    template long "{B} 3 {A} {B2} 5 1 {A2} 2"
    slot A, B from any distinct
    slot B2 from any
    slot A2 from A
    metric logit_diff = logit(A) - logit(B)
    metric prob_at = prob(A) at A2
    sample evaluation 6, pool 120, seed SEED
    bos no
  }
"""
PLACES = (
    ("A", ()),
    ("B", ()),
    ("A2", ("A", "B")),
    ("END", ("A", "A2")),
    ("END", ("B2",)),
    ("A2", ()),
)


def story(seed: int, *, heads: int = 4, layers: int = 3, mlps: bool = True) -> str:
    """A random hypothesis: roles in ascending layers, edges where they meet, sometimes keeps."""
    random = Random(seed)
    lines, roles = [TASK.replace("SEED", str(seed))], []
    for layer in range(layers):
        for part in range(random.choice((1, 1, 2))):
            label, keys = random.choice(PLACES)
            if layer == layers - 1 and part == 0:
                label, keys = "END", random.choice((("A",), ("A2", "B"), ()))
            chosen = random.sample(range(heads), random.choice((1, 2)))
            chosen = [h for h in chosen if (layer, h, label) not in roles]
            nodes = [f"a{layer}.h{h}" for h in chosen]
            roles += [(layer, h, label) for h in chosen]
            if mlps and random.random() < 0.3 and (layer, "m", label) not in roles:
                nodes.append(f"m{layer}")
                roles.append((layer, "m", label))
            if not nodes:
                continue
            name = f"r{layer}{part}"
            attends = f" attends {', '.join(keys)}" if keys else ""
            carries = random.choice((*FEATURES, ""))
            lines.append(
                f"role {name} = {', '.join(nodes)} @ {label}{attends}"
                + (f" carries {carries}" if carries else "")
            )
            lines += _edges(random, name, nodes, lines)
    lines.append(f"edge {', '.join(_at(lines, 'END'))} -> logits")
    at_a2 = _at(lines, "A2")
    if at_a2:
        lines.append(f"edge {at_a2[0]} -> logits at A2")
    if random.random() < 0.3:
        lines.append("edge input -> logits")
    if random.random() < 0.6:
        lines.append(random.choice(KEEPS if mlps else KEEPS[-1:]))
    return "\n".join(lines)


KEEPS = (
    "keep mlps @ *",
    "keep m0 @ A2, END",
    "keep m1 @ *",
    "keep m0, a1.h3 @ *",
    "keep a0.h2 @ *",
)


def _at(lines: list[str], label: str) -> list[str]:
    return [
        x.split()[1]
        for x in lines
        if x.startswith("role")
        and f"@ {label}" in x.split("  ")[0]
        and x.split("@ ")[1].split()[0] == label
    ]


def _edges(random: Random, name: str, nodes: list[str], lines: list[str]) -> list[str]:
    """Edges from the input and from earlier roles, wherever the checker finds that they meet."""
    found = []
    channels = ["q", "k", "v"] if any(n.startswith("a") for n in nodes) else []
    channels += ["in"] if any(n.startswith("m") for n in nodes) else []
    own = lines[-1]
    for c in channels:
        if random.random() < 0.6:
            found.append(f"edge input -> {name}.{c}")
    place = own.split("@ ")[1].split()[0]
    keys = own.split("attends ")[1].split(" carries")[0].split(", ") if "attends" in own else None
    for line in lines[:-1]:
        if not line.startswith("role"):
            continue
        sender, at = line.split()[1], line.split("@ ")[1].split()[0]
        if sender[1] >= name[1] or random.random() < 0.25:
            continue
        meets = ["q", "in"] if at == place else []
        if ((keys is None and at in ("A", "B")) or at == place) or (keys and at in keys):
            meets += ["k", "v"]
        meets = [c for c in meets if c in channels]
        if {"k", "v"} <= set(meets) and random.random() < 0.5:
            found.append(f"edge {sender} -> {name}.kv")
            meets = [c for c in meets if c not in "kv"]
        found += [f"edge {sender} -> {name}.{c}" for c in meets if random.random() < 0.7]
    return found


def graph(world: World, prompt: Prompt) -> tuple[dict[tuple[str, int], Place], set]:
    """The declared graph on a prompt as the reference wants it, read off the resolved records."""
    hypothesis = world.context.hypothesis
    shape = world.context.engine.weights.shape
    reads: dict[tuple[str, int], list[Read]] = {}
    where: dict[tuple[str, int], tuple[tuple, tuple[int, ...]]] = {}
    for role in hypothesis.roles.values():
        nodes = tuple(node_of(n) for n in role.nodes if exists(n, shape))
        for place in role.places:
            for t in prompt.at(place.query):
                keys = tuple(range(t + 1))
                if place.keys:
                    keys = tuple(i for key in place.keys for i in prompt.at(key))
                where[role.name, t] = (nodes, keys)
    roots = [t for metric in world.context.metrics.values() for t in metric.places(prompt)]
    for t in roots:
        where["logits", t] = ((slow.LOGITS,), ())
    for part in sorted(hypothesis.edges, key=lambda part: part.statement):
        for channel, position in sorted({(e.channel, e.position) for e in part.edges}, key=str):
            for at in prompt.at(position):
                for (name, t), (_, keys) in where.items():
                    here = at in keys if channel in ("k", "v") else at == t
                    if name == part.receiver and here and at <= t:
                        read = Read(part.sender, channel or "in", at, part.statement)
                        reads.setdefault((name, t), []).append(read)
    places = {
        (name, t): Place(
            name,
            t,
            nodes,
            tuple(reads.get((name, t), ())),
            keys=keys,
            exact=name != "logits" and not hypothesis.roles[name].carries,
        )
        for (name, t), (nodes, keys) in where.items()
    }
    kept = {(node_of(e.node), t) for e in world.context.circuit.kept for t in prompt.at(e.position)}
    return places, kept


def path_of(steps: list[list[Any]]) -> Path:
    return tuple((role, at, KEEP if s == "keep" else s) for role, at, s in steps)


def replayed(
    world: World, draws: Mapping[str, Any], claim: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """m_scrub and m_rand of every evaluation prompt by metric, from prompts and draws alone."""
    task = world.context.task
    pool, _ = pool_of(task, claim, task.name)
    assert pool is not None
    prompts = [torch.tensor(p.tokens) for p in pool]
    n = len(task.evaluation)
    scrubbed = {name: np.zeros(n) for name in task.metrics}
    random = {name: np.zeros(n) for name in task.metrics}
    prompts += [torch.tensor(p.tokens) for p in task.evaluation]
    total = world.claims[claim].intervention.draws
    for tree in draws["trees"]:
        for i, row in enumerate(tree["rows"]):
            prompt = task.evaluation.prompts[row]
            tokens = torch.tensor(prompt.tokens)
            places, kept = graph(world, prompt)
            for r in range(total):
                if "paths" in tree:
                    drawn, other = by_path(tree, i, r, prompts, tokens)
                else:
                    drawn, other = by_table(tree, i * total + r, prompts)
                for name, metric in task.metrics.items():
                    (at,) = metric.places(prompt)
                    root = places["logits", at]
                    inside = {k: p for k, p in places.items() if k[0] != "logits"}
                    logits = causal_scrub(world.slow, tokens, inside, root, drawn, other, kept)
                    scrubbed[name][row] += value(metric, logits, prompt) / total
                    plain = slow.run(world.slow, other[()][None]).logits[0, at]
                    random[name][row] += value(metric, plain, prompt) / total
    return scrubbed, random


def by_path(tree: Mapping[str, Any], i: int, r: int, prompts: list, root: torch.Tensor) -> Any:
    """Draw r of row i, from a tree with a draw for every path."""
    drawn: dict[Path, torch.Tensor] = {}
    other: dict[Path, torch.Tensor] = {}
    for entry in tree["paths"]:
        path = path_of(entry["path"])
        if "draw" in entry:
            number = entry["draw"][i][r]
            drawn[path] = drawn_above(path, drawn, root) if number is None else prompts[number]
        if "other" in entry:
            other[path] = prompts[entry["other"][i][r]]
    return drawn, other


def by_table(tree: Mapping[str, Any], entry: int, prompts: list) -> Any:
    """One draw of one row, from pooled tables: the entries that it reads, unrolled."""
    tables = {(t["role"], t["position"], tuple(t["members"])): t for t in tree["tables"]}
    drawn: dict[Path, torch.Tensor] = {}
    other: dict[Path, torch.Tensor] = {}

    def unroll(table: Mapping[str, Any], entry: int, path: Path) -> None:
        if path:
            drawn[path] = prompts[table["prompt"][entry]]
        if table["other"] is not None:
            other[path] = prompts[table["other"][entry]]
        for slot in table["reads"]:
            step = path_of([[slot["role"], slot["position"], slot["statement"]]])
            below = tables[slot["role"], slot["position"], tuple(slot["members"])]
            unroll(below, slot["entry"][entry], (*path, *step))

    for table in tree["tables"]:
        if table["role"] == "logits":
            unroll(table, entry, ())
    return drawn, other


def asked(world: World, prompt: Prompt) -> tuple[set[Path], set[Path]]:
    """The paths that the definition asks draws for on a prompt, over all metrics' positions."""
    places, kept = graph(world, prompt)
    inside = {k: p for k, p in places.items() if k[0] != "logits"}
    draws: set[Path] = set()
    others: set[Path] = set()
    for key, root in places.items():
        if key[0] == "logits":
            one, two = paths(world.slow, torch.tensor(prompt.tokens), inside, root, kept)
            draws, others = draws | one, others | two
    return draws, others


def drawn_above(path: Path, drawn: Mapping[Path, torch.Tensor], root: torch.Tensor) -> torch.Tensor:
    """The reference of whoever reads this path: the nearest prompt drawn above it."""
    for length in range(len(path) - 1, 0, -1):
        if path[:length] in drawn:
            return drawn[path[:length]]
    return root


def value(metric: Any, logits: torch.Tensor, prompt: Prompt) -> float:
    found = 0.0
    for term in metric.terms:
        scores = logits if term.quantity == "logit" else logits.softmax(-1)
        found += term.coefficient * float(scores[list(prompt.answers[term.answer])].sum())
    return found
