"""One mistake, one message: every rule with a text that breaks it, its code and its place."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations

import pytest

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.diagnostics import Severity
from circuitspec.language.parser import parse

from .specs import GOOD, GPT2, findings, marked

ERROR, WARNING = Severity.ERROR, Severity.WARNING

TINY = replace(GPT2, n_layers=3, n_heads=6, n_kv_heads=6)
PARALLEL = replace(GPT2, parallel=True)
ATTENTION_ONLY = replace(GPT2, has_mlps=False, d_mlp=None)


@dataclass(frozen=True, kw_only=True)
class Bad:
    """`GOOD` with `old` replaced by `new`, and the one finding that has to follow."""

    code: str
    old: str
    new: str
    at: str
    says: str
    hint: str = ""
    severity: Severity = ERROR
    shape: ModelShape | None = None


EDGE = "  edge mover -> logits\n"
CLAIM = "  expect complete under paper {"

CASES = [
    # ── names ────────────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H001",
        old="edge dup -> inhibit.kv",
        new="edge dupp -> inhibit.kv",
        at="dupp",
        says="`dupp` is not a role or group",
        hint="did you mean `dup`?",
    ),
    Bad(
        code="H001",
        old="group late = inhibit, mover",
        new="group late = inhibit, moover",
        at="moover",
        says="`moover` is not a role",
        hint="there are: dup, inhibit, mover",
    ),
    Bad(
        code="H001",
        old="expect faithful under paper",
        new="expect faithful under papper",
        at="papper",
        says="is not a protocol",
        hint="did you mean `paper`?",
    ),
    Bad(
        code="H001",
        old="mean from abc over",
        new="mean from abd over",
        at="abd",
        says="is not a baseline",
        hint="did you mean `abc`?",
    ),
    Bad(
        code="H001",
        old="from abc through mlps",
        new="from xyz through mlps",
        at="xyz",
        says="is not a baseline",
        hint="there are: abc",
    ),
    Bad(
        code="H002",
        old=EDGE,
        new=EDGE + "  role dup = a0.h4 @ S2\n",
        at="dup",
        says="`dup` already names a role or group",
    ),
    Bad(
        code="H002",
        old=CLAIM,
        new="  expect used { require attention(dup) >= 0.5 ci 95 }\n" + CLAIM,
        at="used",
        says="`used` already names a claim",
    ),
    Bad(
        code="H002",
        old='  model "toy"\n',
        new='  model "toy"\n  model "gpt2"\n',
        at='model "gpt2"',
        says="a second model",
    ),
    Bad(code="H034", old='  model "toy"\n', new="", at="h", says="names no model"),
    # ── nodes and places ─────────────────────────────────────────────────────────────────────────
    Bad(
        code="H007",
        old="open a1.h5 @ S2",
        new="open m3..m1 @ S2",
        at="m3..m1",
        says="is no range of MLPs",
    ),
    Bad(
        code="H007",
        old='@ S2 "unclear"',
        new='@ S2..IO "unclear"',
        at="S2..IO",
        says="is not a range of one label's tokens",
    ),
    Bad(
        code="H007",
        old='@ S2 "unclear"',
        new='@ S2[0]..S2[-1] "unclear"',
        at="S2[0]..S2[-1]",
        says="both ends counted from the same side",
        hint="write `S2[*]` for all of its tokens",
    ),
    Bad(
        code="H008",
        old="a1.h0, a1.h3 @ END attends S2",
        new="a1.h0, a1.h3 @ (END, S2) attends (S2, S1, IO)",
        at="(S2, S1, IO)",
        says="2 query positions against 3 attended ones",
    ),
    Bad(
        code="H009",
        old="open a1.h5 @ S2",
        new="open input @ S2",
        at="input",
        says="`input` cannot be open",
    ),
    # ── edges ────────────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H010",
        old=EDGE,
        new=EDGE + "  edge a3.h0 -> a2.h1.q\n",
        at="a2.h1.q",
        says="leads backwards: a2.h1 cannot read a3.h0",
    ),
    Bad(
        code="H010",
        old=EDGE,
        new=EDGE + "  edge a1.h0 -> a1.h3.q\n",
        at="a1.h3.q",
        says="leads across one layer",
    ),
    Bad(
        code="H010",
        old=EDGE,
        new=EDGE + "  edge mover -> input\n",
        at="input",
        says="`input` cannot be a receiver",
    ),
    Bad(
        code="H011",
        old=EDGE,
        new=EDGE + "  edge mover -> inhibit.q\n",
        at="inhibit.q",
        says="every sender lies at or above every receiver",
    ),
    Bad(
        code="H011",
        old=EDGE,
        new=EDGE + "  edge within inhibit\n",
        at="edge within inhibit",
        says="no member of `inhibit` lies above another",
    ),
    Bad(
        code="H012",
        old="edge dup -> inhibit.kv",
        new="edge dup -> inhibit.q",
        at="inhibit.q",
        says="`dup` lives at S2, but `inhibit.q` is read at END",
        hint="lead the edge to `inhibit.kv`",
    ),
    Bad(
        code="H013",
        old=EDGE,
        new=EDGE + "  edge a0.h7 -> mover.q\n",
        at="a0.h7",
        says="`a0.h7` is in no role",
        hint="role NAME = a0.h7",
    ),
    Bad(
        code="H014",
        old="edge dup -> inhibit.kv",
        new="edge dup -> inhibit.kv at IO",
        at="inhibit.kv",
        says="`inhibit.kv` is not read at IO",
        hint="it is read at S2",
    ),
    Bad(
        code="H015",
        old=EDGE,
        new=EDGE + "  edge dup -> inhibit.kv\n",
        at="edge dup -> inhibit.kv",
        says="is stated twice",
        severity=WARNING,
    ),
    Bad(
        code="H015",
        old=EDGE,
        new=EDGE + "  edge dup -> inhibit.k\n",
        at="edge dup -> inhibit.k",
        says="is stated by two lines",
        severity=WARNING,
    ),
    Bad(
        code="H016",
        old=EDGE,
        new=EDGE + "  edge mlps -> mover.q\n",
        at="mlps",
        says="`mlps` cannot stand in an edge",
    ),
    Bad(
        code="H018",
        old="edge inhibit -> mover.q",
        new="edge inhibit -> mover",
        at="mover",
        says="it is not said which input of `mover`",
        hint="mover.q",
    ),
    Bad(
        code="H018",
        old=EDGE,
        new=EDGE + "  edge inhibit -> mover.in\n",
        at="mover.in",
        says="`mover` has no channel `in`",
    ),
    # ── claims: what is missing ──────────────────────────────────────────────────────────────────
    Bad(
        code="H020",
        old="expect faithful under paper",
        new="expect faithful",
        at="ablate complement",
        says="does not say at what granularity (`by nodes` or `by edges`) nor what takes its place",
        hint="let it stand `under` a protocol (paper)",
    ),
    Bad(
        code="H020",
        old="{ ablate by nodes with mean from abc over template }",
        new="{ ablate by nodes }",
        at="paper",
        says="the protocol `paper` does not say what takes its place",
    ),
    Bad(
        code="H022",
        old="patch all inhibit",
        new="patch inhibit",
        at="patch inhibit -> mover.q from abc through mlps",
        says="4 pairs are patched together or one by one",
        hint="`patch all",
    ),
    Bad(
        code="H022",
        old="from abc through mlps",
        new="from abc",
        at="patch all inhibit -> mover.q from abc",
        says="what the path goes through",
        hint="`direct`",
    ),
    Bad(
        code="H023",
        old=CLAIM,
        new="  expect s { scrub over t require scrub_recovered >= 0.5 ci 95 }\n" + CLAIM,
        at="scrub over t",
        says="how often the scrub draws",
    ),
    Bad(
        code="H024",
        old=CLAIM,
        new="  expect s { patch dup from abc }\n" + CLAIM,
        at="s",
        says="`s` claims nothing",
    ),
    Bad(
        code="H025",
        old="50% * model.logit_diff ci 95",
        new="50% * model.logit_diff",
        at="require logit_diff <= 50% * model.logit_diff",
        says="with what confidence",
        hint="add `ci 95`",
    ),
    Bad(
        code="H026",
        old="    ablate complement\n",
        new="    ablate complement\n    patch dup from abc\n",
        at="patch dup from abc",
        says="does two things at once",
    ),
    Bad(
        code="H026",
        old="    knockouts groups, roles\n",
        new="    knockouts groups\n    knockouts roles\n",
        at="knockouts roles",
        says="a second `knockouts`",
    ),
    Bad(
        code="H032",
        old="incompleteness <= 1 ci 95",
        new="incompleteness == 1 ci 95",
        at="require incompleteness == 1 ci 95",
        says="how near is near enough",
    ),
    # ── claims: measures ─────────────────────────────────────────────────────────────────────────
    Bad(
        code="H027",
        old="require logit_diff <= 50%",
        new="require logit_dif <= 50%",
        at="logit_dif",
        says="is not a metric or measure",
        hint="did you mean `logit_diff`?",
    ),
    Bad(
        code="H027",
        old="require logit_diff <= 50%",
        new='require "text" <= 50%',
        at='"text"',
        says="is not something a claim can measure",
    ),
    Bad(
        code="H028",
        old="require logit_diff <= 50%",
        new="require attention <= 50%",
        at="attention",
        says="has to be told of what",
        hint="attention(dup)",
    ),
    Bad(
        code="H028",
        old="require logit_diff <= 50%",
        new="require logit_diff(mover) <= 50%",
        at="logit_diff(mover)",
        says="the metric `logit_diff` takes no argument",
    ),
    Bad(
        code="H028",
        old="    metric logit_diff = logit(IO) - logit(S1)\n",
        new="    metric logit_diff = logit(IO) - logit(S1)\n    metric p = prob(IO)\n",
        at="incompleteness",
        says="could be of any of 2 metrics",
        hint="`incompleteness(logit_diff)`",
    ),
    Bad(
        code="H029",
        old="    knockouts groups, roles\n",
        new="    ablate late\n",
        at="incompleteness",
        says="is of nothing here: no `knockouts` line",
    ),
    Bad(
        code="H029",
        old=CLAIM,
        new="  expect s { require circuit.logit_diff >= 1 ci 95 }\n" + CLAIM,
        at="circuit.logit_diff",
        says="depends on what is cut",
    ),
    Bad(
        code="H029",
        old=CLAIM,
        new="  expect s { require agreement >= 0.5 ci 95 }\n" + CLAIM,
        at="agreement",
        says="nothing is changed in the model",
    ),
    Bad(
        code="H030",
        old=CLAIM,
        new="  expect s under paper { each head given { a0.h7: mover } "
        "require effect >= 1 ci 95 }\n" + CLAIM,
        at="a0.h7",
        says="`a0.h7` is in no role",
    ),
    Bad(
        code="H030",
        old=CLAIM,
        new="  expect s under paper { each head given { dup: mover before it } "
        "require effect >= 1 ci 95 }\n" + CLAIM,
        at="dup: mover before it",
        says="does not stand in `mover`",
    ),
    Bad(
        code="H031",
        old=CLAIM,
        new="  expect s under paper { each edge require effect >= 1 ci 95 }\n" + CLAIM,
        at="each edge",
        says="by nodes, declared edges play no part",
    ),
    # ── the model ────────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H040",
        old="",
        new="",
        at="a3.h0",
        says="the model has no `a3.h0`",
        hint="it has 3 layers, a0 to a2, of 6 heads (h0 to h5)",
        shape=TINY,
    ),
    Bad(
        code="H040",
        old="",
        new="",
        at="m0",
        says="the model has no `m0`",
        hint="attention only",
        shape=ATTENTION_ONLY,
    ),
    Bad(
        code="H040",
        old=EDGE,
        new=EDGE + "  edge a0.h1 -> m0\n",
        at="edge a0.h1 -> m0",
        says="attention and MLP of one layer read the same input",
        shape=PARALLEL,
    ),
    Bad(
        code="H040",
        old="require logit_diff <= 50% * model.logit_diff",
        new="require logit_lens(12) <= 50% * model.logit_diff",
        at="12",
        says="the model has no layer 12",
        shape=GPT2,
    ),
    # ── places ───────────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H041",
        old="a0.h1, a0.h2 @ S2 attends S1",
        new="a0.h1, a0.h2 @ S2 attends S1, S2+2",
        at="S1, S2+2",
        says="`dup` at S2 cannot attend to S2+2",
    ),
    Bad(
        code="H041",
        old=EDGE,
        new=EDGE + "  role early = a0.h5 @ S1 attends IO\n  edge input -> early.qkv\n"
        "  role next = a1.h4 @ END attends S1\n  edge early -> next.kv\n"
        "  edge next -> logits\n",
        at="IO",
        says="in template `baba`: it comes later",
        severity=WARNING,
    ),
    Bad(
        code="H045",
        old="role mover = a2.h1, a3.h0",
        new="role mover = a2.h1, a3.h0, a1.h3",
        at="a1.h3",
        says="`a1.h3` is in `inhibit` and in `mover` at END",
    ),
    Bad(
        code="H045",
        old="role mover = a2.h1, a3.h0",
        new="role mover = a2.h1, a2.h1, a3.h0",
        at="a2.h1",
        says="`a2.h1` stands twice in `mover`",
    ),
    Bad(
        code="H045",
        old="open a1.h5 @ S2",
        new="open a0.h1 @ S2",
        at="a0.h1",
        says="is in `dup` and in `open` at S2",
    ),
    Bad(
        code="H047",
        old='open a1.h5 @ S2 "unclear"',
        new='open a1.h5 @ S3 "unclear"',
        at="S3",
        says="`S3` is not a position",
        hint="there are: *, BOS, END, IO, S1, S2, place",
    ),
    Bad(
        code="H047",
        old='template baba "When {S1} and {IO} went to the {place}, {S2} gave it to"',
        new='template baba "When {S1} and {IO} left, {S2} gave it to"\n'
        '    template abba2 "When {S1} and {IO} went to the {place}, {S2} gave it to"',
        at="place",
        says="`place` does not stand in template `baba`",
    ),
    Bad(
        code="H047",
        old='open a1.h5 @ S2 "unclear"',
        new='open a1.h5 @ BOS "unclear"',
        at="BOS",
        says="there is no BOS",
        hint="bos yes",
    ),
    Bad(
        code="H047",
        old='open a1.h5 @ S2 "unclear"',
        new='open a1.h5 @ S2[2] "unclear"',
        at="S2[2]",
        says="`S2` is one token",
    ),
    *(
        Bad(
            code="H047",
            old='open a1.h5 @ S2 "unclear"',
            new=f'open a1.h5 @ {place} "unclear"',
            at=place,
            says="lies outside every prompt",
            hint="counts tokens from",
        )
        for place in ("S2-46", "IO+99", "END+1", "END-75")
    ),
    # ── the graph ────────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H042",
        old="  keep m0 @ *\n  edge input -> dup.qkv\n",
        new="  edge input -> dup.qkv, early.qkv\n  role early = a0.h5 @ S2 attends S1\n",
        at="role early = a0.h5 @ S2 attends S1",
        says="no path of edges leads from `early` to the logits",
        hint="edge early -> logits",
    ),
    Bad(
        code="H042",
        old="edge input -> dup.qkv\n",
        new="edge input -> dup.qkv, early.qkv\n  role early = a0.h5 @ S2 attends S1\n",
        at="role early = a0.h5 @ S2 attends S1",
        says="except by way of what is kept",
        severity=WARNING,
    ),
    Bad(
        code="H043",
        old="  keep m0 @ *\n",
        new="  role early = a0.h5 @ S2 attends S1\n  edge early -> inhibit.kv\n",
        at="role early = a0.h5 @ S2 attends S1",
        says="no path of edges leads from the input to `early`",
        hint="edge input -> early.qkv",
    ),
    Bad(
        code="H044",
        old=EDGE,
        new=EDGE + "  role early = a0.h5 @ S2 attends S1\n",
        at="role early = a0.h5 @ S2 attends S1",
        says="no edge mentions `early`",
        severity=WARNING,
    ),
    Bad(
        code="H048",
        old="edge input -> inhibit.q, mover.kv",
        new="edge input -> inhibit.q",
        at="token(IO)",
        says="`mover` carries token(IO), and no path of edges brings it: "
        "what reaches the role starts at END, S1, S2",
        hint="missing: `edge input -> mover.kv`, read at IO",
    ),
    Bad(
        code="H048",
        old="attends S2 carries token(S1)",
        new="attends S2 carries token(S1), position(place)",
        at="position(place)",
        says="`inhibit` carries position(place)",
        hint="missing: a path from the input at place by way of another role",
    ),
    Bad(
        code="H049",
        old="carries token(IO)",
        new="carries token(IO), 3",
        at="3",
        says="3 is the same in every prompt",
        severity=WARNING,
    ),
    Bad(
        code="H050",
        old="  group late = inhibit, mover\n",
        new="  group late = inhibit, mover\n  protocol spare { ablate by nodes with zero }\n",
        at="spare",
        says="the protocol `spare` is not used",
        severity=WARNING,
    ),
    Bad(
        code="H050",
        old="    metric logit_diff = logit(IO) - logit(S1)\n",
        new="    metric logit_diff = logit(IO) - logit(S1)\n    baseline swapped = swap(IO, S1)\n",
        at="swapped",
        says="the baseline `swapped` is not used",
        severity=WARNING,
    ),
    Bad(
        code="H050",
        old="knockouts groups, roles",
        new="knockouts roles",
        at="late",
        says="the group `late` is not used",
        severity=WARNING,
    ),
    # ── thresholds ───────────────────────────────────────────────────────────────────────────────
    Bad(
        code="H051",
        old="logit_diff within 20% of model.logit_diff ci 95",
        new="logit_diff >= 80% * model.logit_diff ci 95",
        at="require logit_diff >= 80% * model.logit_diff ci 95",
        says="asks for enough and not for too much",
        severity=WARNING,
    ),
    *(
        Bad(
            code="H052",
            old="require logit_diff <= 50% * model.logit_diff ci 95",
            new=f"require {requirement}",
            at=at,
            says=says,
            hint=hint,
        )
        for requirement, at, says, hint in (
            ("agreement >= 80 ci 95", "80", "lies between 0 and 1", "write `80%`"),
            ("agreement >= 120% ci 95", "120%", "lies between 0 and 1", "choose"),
            ("0 <= agreement ci 95", "0", "always holds", "choose"),
            ("agreement > 1 ci 95", "1", "can never hold", "choose"),
            ("error <= -1 ci 95", "-1", "is never negative", "choose"),
            ("ratio >= 80 ci 95", "80", "is a fraction", "write `80%`"),
            ("2 >= 1 ci 95", "require 2 >= 1 ci 95", "measures nothing", "name a metric"),
            (
                "logit_diff >= logit_diff ci 95",
                "require logit_diff >= logit_diff ci 95",
                "compared with itself",
                "model.logit_diff",
            ),
            ("agreement >= 1 - 1 ci 95", "1 - 1", "always holds", "choose"),
            ("ratio <= 40 + 40 ci 95", "40 + 40", "is a fraction", "write `80%`"),
            *(
                (
                    f"{requirement} ci 95",
                    f"require {requirement} ci 95",
                    "compared with itself",
                    hint,
                )
                for requirement, hint in (
                    ("model.logit_diff >= 50% * model.logit_diff", "`empty.logit_diff`"),
                    ("logit_diff / logit_diff >= 1", "model.logit_diff"),
                    ("logit_diff - logit_diff >= 0", "model.logit_diff"),
                    ("logit_diff within 20% of 2 * logit_diff", "model.logit_diff"),
                    ("agreement >= 80% * agreement", "a number"),
                    ("attention(mover) >= 2 * attention(mover)", "another role"),
                )
            ),
            ("logit_diff within 0% of 3 ci 95", "0%", "no width", "within 20%"),
            ("logit_diff within 100% of 3 ci 95", "100%", "reaches down to 0", "within 20%"),
        )
    ),
    Bad(
        code="H052",
        old=CLAIM,
        new="  expect s { require logit_diff >= 50% * model.logit_diff ci 95 }\n" + CLAIM,
        at="require logit_diff >= 50% * model.logit_diff ci 95",
        says="nothing is changed in the model",
        hint="ablate complement",
    ),
    Bad(
        code="H057",
        old="require logit_diff <= 50% * model.logit_diff",
        new="require logit_diff <= 50 * model.logit_diff",
        at="50",
        says="is 5000% of `model.logit_diff`",
        hint="`50% * model.logit_diff`",
        severity=WARNING,
    ),
    Bad(
        code="H053",
        old=CLAIM,
        new="  expect s { scrub over t draws 0 require scrub_recovered >= 0.5 ci 95 }\n" + CLAIM,
        at="scrub over t draws 0",
        says="a scrub without draws",
    ),
    Bad(
        code="H053",
        old="knockouts groups, roles",
        new="knockouts groups, roles, random 0",
        at="knockouts groups, roles, random 0",
        says="no random set",
    ),
    Bad(
        code="H053",
        old="    knockouts groups, roles\n",
        new="    knockouts groups, roles\n    until decided, at most 100\n",
        at="until decided, at most 100",
        says="looks from 128 prompts on",
    ),
    Bad(
        code="H053",
        old="    knockouts groups, roles\n",
        new="    knockouts groups, roles\n    until decided, at most 2000000\n",
        at="until decided, at most 2000000",
        says="2,000,000 prompts are more than a run can take",
    ),
    Bad(
        code="H053",
        old="    knockouts groups, roles\n",
        new="    knockouts groups, roles, greedy 1000x1000x1000\n",
        at="knockouts groups, roles, greedy 1000x1000x1000",
        says="1,000,000,000 candidates of a greedy search are more than a run can take",
    ),
    Bad(
        code="H054",
        old="require logit_diff <= 50% * model.logit_diff ci 95",
        new="require attention(early) >= 0.5 ci 95\n  }\n"
        "  role early = a0.h5 @ S2\n  edge input -> early.q\n  edge early -> inhibit.kv\n"
        "  expect again {\n    require logit_diff <= 1 ci 95",
        at="attention(early)",
        says="it is not said where `early` attends",
        hint="attends POSITION",
    ),
    Bad(
        code="H054",
        old="open a1.h5 @ S2",
        new="role late_mlp = m3 @ END attends S2\n  edge input -> late_mlp\n"
        "  edge late_mlp -> logits\n  open a1.h5 @ S2",
        at="S2",
        says="MLPs do not attend",
    ),
    Bad(
        code="H055",
        old="sample evaluation 100, reference 100, pool 100, seed 0",
        new="sample evaluation 100, pool 100, seed 0",
        at="sample evaluation 100, pool 100, seed 0",
        says="draws no reference prompts",
    ),
    Bad(
        code="H061",
        old='open a1.h5 @ S2 "unclear"',
        new="sweep open",
        at="sweep open",
        says="there is nothing to sweep",
    ),
]


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: f"{bad.code}-{bad.says[:30]}")
def test_a_mistake_is_one_message_at_its_place(bad: Bad) -> None:
    text = _text(bad)
    found = [d for d in findings(text, bad.shape) if d.severity is not Severity.NOTE]
    assert [(d.code, d.severity, marked(d, text)) for d in found] == [
        (bad.code, bad.severity, bad.at)
    ]
    assert bad.says in found[0].message
    assert found[0].hint is not None
    assert bad.hint in found[0].hint


def _text(bad: Bad) -> str:
    assert bad.old in GOOD
    text = GOOD.replace(bad.old, bad.new, 1) if bad.old else GOOD
    if bad.at == "place":
        text = text.replace('open a1.h5 @ S2 "', 'open a1.h5 @ place "')
    return text


def test_the_good_spec_is_good() -> None:
    assert findings(GOOD, GPT2) == ()


@pytest.mark.parametrize(
    "requirement",
    [
        "logit_diff >= 2 * model.logit_diff",
        "logit_diff - model.logit_diff <= 10% * model.logit_diff",
        "logit_diff <= logit_diff / model.logit_diff",
        "effect(mover) >= 2 * effect(dup)",
        "logit_diff >= 0 * model.logit_diff",
    ],
)
def test_what_arithmetic_cannot_settle_is_left_to_the_run(requirement: str) -> None:
    claim = f"  expect s under paper {{ ablate dup require {requirement} ci 95 }}\n"
    assert findings(GOOD.replace(CLAIM, claim + CLAIM)) == ()


def test_a_role_that_is_kept_is_noted() -> None:
    text = GOOD.replace("keep m0 @ *", "keep m0, a0.h1 @ *")
    (note,) = findings(text)
    assert (note.code, note.severity) == ("H046", Severity.NOTE)
    assert marked(note, text).startswith("role dup = a0.h1, a0.h2")
    assert note.message == "`a0.h1 @ S2` of `dup` is kept: no knock-out removes it"
    assert findings(GOOD.replace("keep m0 @ *", "keep m0, a0.h1 @ END")) == ()


def test_every_mistake_of_a_file_is_reported_and_none_hides_another() -> None:
    """Independent mistakes in one text: as many messages as mistakes, each at its own place."""
    mistakes = (
        ("edge mover -> logits", "edge mover -> logits\n  edge dupp -> inhibit.q", "H001"),
        ("edge dup -> inhibit.kv", "edge dup -> inhibit.q", "H012"),
        ("expect faithful under paper", "expect faithful", "H020"),
        ("from abc through mlps", "from abc", "H022"),
        ("S2 attends S1", "S2 attends S1, S2+2", "H041"),
        ("knockouts groups, roles", "knockouts groups, roles, random 0", "H053"),
        ("incompleteness <= 1 ci 95", "incompleteness <= 1", "H025"),
        ("reference 100, pool 100, seed 0", "pool 100, seed 0", "H055"),
        ("open a1.h5", 'open a2.h1 @ END "why"\n  open a1.h5', "H045"),
    )
    text = GOOD
    for old, new, _ in mistakes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    found = [d.code for d in findings(text) if d.severity is Severity.ERROR]
    # `edge dupp` is read as `edge dup`, which does not live where `inhibit.q` is read either.
    assert sorted(found) == sorted([*(code for _, _, code in mistakes), "H012"])


def test_a_name_is_reported_once_however_often_it_is_used() -> None:
    text = GOOD.replace("role dup =", "role dop =")
    found = findings(text)
    assert [d.code for d in found] == ["H001"]
    assert [marked(d, text) for d in found] == ["dup"]
    assert len(found[0].labels) == 1


def test_a_name_that_resembles_nothing_does_not_cascade() -> None:
    text = GOOD.replace("role dup =", "role xyzzy =").replace("dup", "quux")
    assert [d.code for d in findings(text)] == ["H001"]


SECOND_METRIC = "could be of any of 2 metrics"
"""What makes every measure of the other case ambiguous too is no case of its own."""


def pairs() -> list[tuple[Bad, Bad, str]]:
    """Every two cases that change different places of the text, with the text they make."""
    found = []
    single = [c for c in CASES if c.shape is None and c.at != "place" and GOOD.count(c.old) == 1]
    for one, two in combinations(single, 2):
        text = GOOD.replace(one.old, one.new)
        if text.count(two.old) != 1 or SECOND_METRIC in (one.says, two.says):
            continue
        text = text.replace(two.old, two.new)
        if one.new in text:
            found.append((one, two, text))
    return found


def unlike_both(chosen: list[tuple[Bad, Bad, str]]) -> list[tuple[str, str]]:
    """The pairs whose findings are not those of the one and the other together."""
    return [
        (one.code, two.code)
        for one, two, text in chosen
        if parse(text)[1] == ()
        and Counter(d.code for d in findings(text) if d.severity is not Severity.NOTE)
        != Counter([one.code, two.code])
    ]


def test_two_mistakes_are_two_messages() -> None:
    chosen = random.Random(0).sample(pairs(), 80)
    assert len(unlike_both(chosen)) <= 3


@pytest.mark.slow
def test_any_two_mistakes_are_two_messages() -> None:
    """All pairs. About one in a hundred has to differ: both declare one name, or one mistake
    removes what the other is about."""
    chosen = pairs()
    assert len(chosen) > 3000
    assert len(unlike_both(chosen)) <= len(chosen) // 100
