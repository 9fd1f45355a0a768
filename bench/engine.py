"""How fast the engine is, in plain forward passes of the same prompts, beside the obvious ways.

    python bench/engine.py [--json FILE] [--only NAME ...] [--device cuda] [--repeats N]

A plain forward is the unmodified model in plain torch, logits at the last position only, over the
same prompts. The model has GPT-2 small's shape and random weights: what is timed does not depend on
what it has learned. NAME is a piece of work (`knockouts`: in all its ways), one way of doing it
(`knockouts_masked`, `knockouts_hooks`, `knockouts_engine`), or a table (`scaling_heads`).

All ways have the values that are put in place of outputs ready: the means of the reference set, the
outputs of the unmodified model, those on the counterfactual prompts; the obvious ways their masks
too. The engine is a new one every time and has nothing else. In the rows called `_cold` it has the
means alone, and runs the unmodified model as part of the work.

Before a row is measured it is predicted, from tokens and the model's shape alone: what `circuitspec
plan` reckons, in floating-point operations of a plain forward. The greedy search of `protocol_ioi`
goes where its figures lead, and is not predicted; it is long, and timed in one round.

What a way does one by one is timed on an even sample of its evaluations: `extrapolated_from` says
how many. `scrub_hooks` and `scrub_masked` are estimates: one masked forward by edges for each node
of the tree.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ioi_task import prompt_sets
from plain_model import Model, random_model
from scaling import TABLES, Point, tables
from scrub import Scrub
from timing import Case, Clock, Row, peak_rate
from ways import EngineWay, HooksWay, MaskedWay, Way
from workloads import Work, works

SHAPES = ("100x8", "32x8", "100x30")
"""Prompts × templates."""

SUFFIXES = {"engine": "", "cold": "_cold", "hooks": "_hooks", "masked": "_masked"}
COLD = ("circuit_nodes", "circuit_edges", "leave_one_out", "path_sweep", "path_sweep_mlps")
"""What is timed cold as well: longer work does not feel it."""
ONCE = ("protocol_ioi",)
"""What is long enough to be timed in one round alone."""
SAMPLE = 3
"""Evaluations that are timed of work that a way does one by one."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    gc.freeze()  # as the command does: torch itself is not walked over for cycles
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("highest")
    tell = _teller(options.quiet)
    model = random_model(device)
    rate = peak_rate(device)
    result: dict[str, Any] = {"machine": _machine(device, rate), "rows": [], "scaling": []}
    known = {*works(model.shape, 8), "scrub"}
    suffixes = (*SUFFIXES.values(), "_engine")
    known = {name + suffix for name in known for suffix in suffixes} | set(TABLES)
    unknown = sorted(set(options.only) - known)
    if unknown:
        print(f"no such work: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return 2
    print(_described(result["machine"]), flush=True)
    for shape in options.prompts:
        others = list(result["rows"])

        def keep(rows: Sequence[Row], shape: str = shape, others: list[Any] = others) -> None:
            """What is known so far outlives an interruption."""
            result["rows"] = [*others, *(row.json(shape, rate) for row in rows)]
            _write(options.json, result)

        rows, plain = of_shape(model, shape, options, tell, keep)
        if rows:
            keep(rows)
            written = result["rows"][len(others) :]
            result["machine"].setdefault("plain_ms", {})[shape] = round(1000 * plain, 1)
            print(_table(shape, plain, written), flush=True)
            _write(options.json, result)
    wanted = [t for t in TABLES if not options.only or t in options.only]
    for point in tables(wanted, model, device, options.chunk, options.repeats, tell):
        result["scaling"].append(_point(point))
        _write(options.json, result)
    for table in wanted:
        print(_scaling_table(table, [p for p in result["scaling"] if p["table"] == table]))
    _write(options.json, result)
    return 0


def of_shape(
    model: Model,
    shape: str,
    options: argparse.Namespace,
    tell: Callable[[str], None],
    after: Callable[[list[Row]], None],
) -> tuple[list[Row], float]:
    """The rows of one set of prompts, and a plain pass over it in seconds."""
    n, templates = (int(part) for part in shape.split("x"))
    sets = prompt_sets(templates, n)
    obvious = MaskedWay(model, sets, options.chunk)
    ways: dict[str, Way] = {
        "engine": EngineWay(model, sets),
        "cold": EngineWay(model, sets, cold=True),
        "hooks": HooksWay(model, sets, options.chunk),
        "masked": obvious,
    }
    cases = [
        *_cases(model, ways, n, options.only, tell),
        *_scrub_cases(model, ways, n, templates, options.only),
    ]
    if not cases:
        return [], 0.0
    obvious.prepare([])
    now = time.process_time if options.processor else time.perf_counter
    clock = Clock(device=model.weights.device, plain=obvious.plainly, now=now)
    flops = options.flops or model.weights.device.type == "cuda"
    rows = clock.measure(cases, options.repeats, flops=flops, tell=tell, each_round=after)
    return rows, median(clock.taken)


def _cases(
    model: Model, ways: dict[str, Way], n: int, only: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Case]:
    listed = works(model.shape, n)
    shares: bool | None = None
    for name, work in listed.items():
        for kind, way in ways.items():
            row = name + SUFFIXES[kind]
            if kind == "cold" and name not in COLD:
                continue
            if only and not {name, row, f"{name}_{kind}"} & set(only):
                continue
            ours = kind in ("engine", "cold")
            if ours and work.count > SAMPLE and shares is None:
                shares = sharing(way, listed["leave_one_out"])
                if not shares:
                    tell("the engine shares nothing between runs: long work is sampled")
            whole = work.count <= SAMPLE or (ours and bool(shares))
            case = case_of(row, work, way, whole=whole)
            if whole and name in ONCE:
                case = replace(case, most=1)
            if isinstance(way, EngineWay) and not way.cold and work.whole is None:
                case = replace(case, predicted=way.predicted(work.runs))
            yield case


def _scrub_cases(
    model: Model, ways: dict[str, Way], n: int, templates: int, only: Sequence[str]
) -> Iterator[Case]:
    wanted = [
        kind
        for kind in ("engine", "hooks", "masked")
        if not only or {"scrub", "scrub" + SUFFIXES[kind], f"scrub_{kind}"} & set(only)
    ]
    if not wanted:
        return
    scrub = Scrub(model, n, templates)
    for kind in wanted:
        name = "scrub" + SUFFIXES[kind]
        if kind == "engine":
            yield Case(name=name, prepare=scrub.prepare, run=scrub.run)
            continue
        by_edges = works(model.shape, n)["circuit_edges"]
        forward = case_of(name, replace(by_edges, count=scrub.nodes), ways[kind], whole=False)
        yield forward


def case_of(name: str, work: Work, way: Way, *, whole: bool) -> Case:
    """All of the work, or a sample of it."""
    if whole:
        return Case(
            name=name,
            prepare=lambda: way.prepare(work.runs),
            run=lambda: work.all(way.evaluate),
        )
    chosen = work.sample(SAMPLE)

    def run() -> None:
        way.evaluate(chosen)

    return Case(
        name=name,
        prepare=lambda: way.prepare(chosen),
        run=run,
        scale=work.count / SAMPLE,
        sampled=SAMPLE,
    )


def sharing(way: Way, work: Work) -> bool:
    """Whether twelve evaluations in one call take clearly less than six times as long as two."""
    way.prepare(work.runs)
    taken = []
    for first, last in ((0, 1), (1, 3), (3, 15)):
        start = time.perf_counter()
        way.evaluate(work.runs[first:last])
        taken.append(time.perf_counter() - start)
    return taken[2] < 4.5 * taken[1]


# What is printed


def _table(shape: str, plain: float, rows: Sequence[dict[str, Any]]) -> str:
    n, templates = shape.split("x")
    lines = [
        f"\n{n} prompts over {templates} templates; a plain forward takes {1000 * plain:,.0f} ms",
        "",
        "| work | plain forwards | spread | predicted | ms | peak MB | share of peak | repeats |",
        "|---|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        sampled = row.get("extrapolated_from")
        share = row.get("share_of_peak")
        predicted = row.get("predicted")
        low, high = row["spread"]
        lines.append(
            f"| {row['name']} | {_short(row['plain'])} | {_short(low)} to {_short(high)} | "
            f"{'' if predicted is None else _short(predicted)} | "
            f"{row['ms']:,.0f} | {'' if row['peak_mb'] is None else format(row['peak_mb'], ',.0f')}"
            f" | {'' if share is None else format(share, '.0%')} | {row['repeats']}"
            f"{'' if sampled is None else f', extrapolated from {sampled}'} |"
        )
    return "\n".join(lines)


def _scaling_table(table: str, points: Sequence[dict[str, Any]]) -> str:
    what = table.removeprefix("scaling_")
    lines = [f"\n| {what} | engine | spread | masked | spread |", "|---:|---:|---|---:|---|"]
    for point in points:
        cells = [
            f"{_short(row['plain'])} | {_short(row['spread'][0])} to {_short(row['spread'][1])}"
            for row in point["rows"]
        ]
        lines.append(f"| {point['size']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _point(point: Point) -> dict[str, Any]:
    shape = f"{point.table.removeprefix('scaling_')}={point.size}"
    rows = [row.json(shape, None) for row in point.rows]
    return {"table": point.table, "size": point.size, "rows": rows}


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine(device: torch.device, rate: float) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type} {name}",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "peak_gflops": round(rate / 1e9, 1),
    }


def _described(machine: dict[str, Any]) -> str:
    return (
        f"{machine['device']}, {machine['threads']} of {machine['cores']} cores, torch "
        f"{machine['torch']}, {machine['peak_gflops']:,.0f} GFLOP/s in one large product"
    )


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _teller(quiet: bool) -> Callable[[str], None]:
    def tell(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    return tell


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=None, help="write the rows here")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--prompts", nargs="+", default=list(SHAPES), metavar="PROMPTSxTEMPLATES")
    parser.add_argument("--chunk", type=int, default=25, help="prompts at once in the plain passes")
    parser.add_argument("--flops", action="store_true", help="count operations in one more run")
    parser.add_argument(
        "--processor",
        action="store_true",
        help="processor time, on a machine that other jobs hold (with OMP_NUM_THREADS=1)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
