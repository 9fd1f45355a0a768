"""`expand`: one fact a line, so that a difference between texts is a difference between facts."""

from __future__ import annotations

import difflib

from circuitspec.hypothesis.expand import expand

from .specs import GOOD, IOI, load, one

EXPANDED = """\
hypothesis h
model toy
task t
task baseline abc = resample(IO, S1, S2)
task bos no
task metric logit_diff = logit(IO) - logit(S1)
task sample evaluation 100, reference 100, pool 100, seed 0
task slot IO, S1 from names.english distinct one_token
task slot S2 from S1
task slot place from "store", "park" one_token
task template abba "When {IO} and {S1} went to the {place}, {S2} gave it to"
task template baba "When {S1} and {IO} went to the {place}, {S2} gave it to"
role dup member a0.h1
role dup member a0.h2
role dup at S2 attends S1
role dup carries token(S1)
role inhibit member a1.h0
role inhibit member a1.h3
role inhibit at END attends S2
role inhibit carries token(S1)
role mover member a2.h1
role mover member a3.h0
role mover at END attends IO
role mover carries token(IO)
keep m0 @ *
open a1.h5 @ S2 "unclear"
group late role inhibit
group late role mover
edge input -> a0.h1.q @ S2
edge input -> a0.h1.k @ S1
edge input -> a0.h1.v @ S1
edge input -> a0.h2.q @ S2
edge input -> a0.h2.k @ S1
edge input -> a0.h2.v @ S1
edge input -> a1.h0.q @ END
edge input -> a1.h3.q @ END
edge input -> a2.h1.k @ IO
edge input -> a2.h1.v @ IO
edge input -> a3.h0.k @ IO
edge input -> a3.h0.v @ IO
edge a0.h1 -> a1.h0.k @ S2
edge a0.h1 -> a1.h0.v @ S2
edge a0.h1 -> a1.h3.k @ S2
edge a0.h1 -> a1.h3.v @ S2
edge a0.h2 -> a1.h0.k @ S2
edge a0.h2 -> a1.h0.v @ S2
edge a0.h2 -> a1.h3.k @ S2
edge a0.h2 -> a1.h3.v @ S2
edge a1.h0 -> a2.h1.q @ END
edge a1.h0 -> a3.h0.q @ END
edge a1.h3 -> a2.h1.q @ END
edge a1.h3 -> a3.h0.q @ END
edge a2.h1 -> logits @ END
edge a3.h0 -> logits @ END
together input -> inhibit.q, input -> mover.kv
claim complete ablation by nodes with mean from abc over template
claim complete knockout dup: a0.h1 @ S2, a0.h2 @ S2
claim complete knockout inhibit: a1.h0 @ END, a1.h3 @ END
claim complete knockout late: a1.h0 @ END, a1.h3 @ END, a2.h1 @ END, a3.h0 @ END
claim complete knockout mover: a2.h1 @ END, a3.h0 @ END
claim complete require incompleteness <= 1 ci 95
claim faithful ablation by nodes with mean from abc over template
claim faithful ablate complement
claim faithful require logit_diff within 20% of model.logit_diff ci 95
claim used patch all a1.h0 @ END, a1.h3 @ END -> a2.h1.q @ END from abc mlps
claim used patch all a1.h0 @ END, a1.h3 @ END -> a3.h0.q @ END from abc mlps
claim used require logit_diff <= 50% * model.logit_diff ci 95
"""


def test_the_whole_of_a_small_hypothesis() -> None:
    assert expand(one(GOOD)) == EXPANDED


def test_a_change_of_one_edge_line_is_the_lines_of_its_edges() -> None:
    before = expand(one(GOOD)).splitlines()
    after = expand(one(GOOD.replace("edge input -> inhibit.q, mover.kv", "edge input -> mover.kv")))
    changed = list(difflib.unified_diff(before, after.splitlines(), n=0, lineterm=""))
    assert [line for line in changed if line[0] in "+-" and line[:3] not in ("---", "+++")] == [
        "-edge input -> a1.h0.q @ END",
        "-edge input -> a1.h3.q @ END",
        "-together input -> inhibit.q, input -> mover.kv",
    ]


def test_the_order_of_a_list_shows_only_in_what_it_means() -> None:
    text = IOI.read_text(encoding="utf-8")
    turned = text.replace("a9.h9, a9.h6, a10.h0 ", "a10.h0, a9.h9, a9.h6 ")
    assert turned != text
    before, after = (set(expand(load(t)[0]).splitlines()) for t in (text, turned))
    assert {line.split(" given ")[0] for line in before ^ after} == {
        f"claim minimal each head {h}" for h in ("a9.h9", "a9.h6", "a10.h0")
    }


def test_every_kind_of_action_has_its_lines() -> None:
    extra = """\
  expect refuted a under paper { ablate a0.h1 given ablated mover accept blind
    until decided, at most 500 require logit_diff >= 1 ci 95 }
  expect b { patch dup from abc require logit_diff >= 1 ci 95 }
  expect c { run from abc restore m1 @ S2 require logit_diff >= 1 ci 95 }
  expect d { scrub dup over task draws 4 require scrub_recovered >= 0.5 ci 95 }
  expect e { ablate complement by edges with resample from abc draws 3
    knockouts random 7, greedy 1x2x3 require incompleteness <= 1 ci 95 }
  expect f { patch each dup -> inhibit.v -> logits from abc direct require logit_diff >= 1 ci 95 }
  expect g { ablate complement by nodes with noise 2.5 require logit_diff within 9% of 1 ci 95 }
"""
    got = expand(one(GOOD.replace("  expect used", f"{extra}  expect used", 1))).splitlines()
    for line in (
        "claim a refuted",
        "claim a ablate a0.h1 @ S2",
        "claim a given ablated a2.h1 @ END, a3.h0 @ END",
        "claim a accept blind",
        "claim a until decided, at most 500",
        "claim b patch a0.h1 @ S2 from abc",
        "claim c run from abc",
        "claim c restore m1 @ S2",
        "claim d scrub over t draws 4 only dup",
        "claim e ablation by edges with resample from abc draws 3",
        "claim e knockouts random 7",
        "claim e knockouts greedy 1x2x3",
        "claim f patch each a0.h1 @ S2 -> a1.h0.v @ S2 from abc direct",
        "claim f patch each hop 1 -> logits @ END from abc direct",
        "claim g ablation by nodes with noise 2.5",
    ):
        assert got.count(line) >= 1, line


def test_sweeps_are_facts_too() -> None:
    got = expand(one(GOOD.replace("  keep m0", '  sweep revision "a", "b"\n  keep m0')))
    assert 'sweep revision "a", "b"\n' in got
