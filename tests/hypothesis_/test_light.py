"""Resolving and checking load nothing heavy and take little time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from circuitspec.hypothesis.checks import RULES, check_all
from circuitspec.hypothesis.resolve import resolve
from circuitspec.language.parser import parse

from .specs import IOI

HEAVY = ("torch", "transformer_lens", "transformers", "numpy", "scipy", "networkx", "difflib")


def test_checking_loads_nothing_heavy() -> None:
    script = f"""
import sys
from pathlib import Path
from circuitspec.hypothesis.checks import check_all
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.expand import expand
from circuitspec.hypothesis.resolve import resolve
from circuitspec.hypothesis import graph
from circuitspec.language.parser import parse_file
tree, _ = parse_file(Path({str(IOI)!r}))
hypotheses, _ = resolve(tree, base_dir=Path({str(IOI.parent)!r}))
assert hypotheses
check_all(hypotheses)
expand(hypotheses[0])
print(*sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == ""


def test_a_long_spec_is_checked_in_a_few_seconds() -> None:
    """Ten thousand lines of roles, edges and claims; linear in them, whatever the machine."""
    text = _long(1000)
    assert text.count("\n") > 10_000
    tree, mistakes = parse(text)
    assert mistakes == ()
    start = time.perf_counter()
    hypotheses, found = resolve(tree)
    found += check_all(hypotheses)
    assert time.perf_counter() - start < 60  # 2 s on an idle core; machines of CI are busy
    assert found == ()
    assert sum(len(h.claims) for h in hypotheses) == 1000


def _long(count: int) -> str:
    """A spec of `count` hypotheses of ten lines each over one task of the file."""
    task = """\
task t {
  template t "When {IO} and {S1} went out, {S2} gave it to"
  slot IO, S1 from names.english distinct one_token
  slot S2 from S1
  metric m = logit(IO) - logit(S1)
  baseline abc = resample(IO, S1, S2)
  sample evaluation 100, reference 100, seed 0
  bos no
}
"""
    body = """\
hypothesis h{i} {{
  model "toy"
  task t
  role mover = a9.h9, a10.h0 @ END attends IO carries token(IO)
  role early = a5.h5 @ S2 attends S1 carries token(S1)
  edge input -> mover.kv, early.qkv
  edge early -> next.kv
  role next = a7.h3 @ END attends S2
  edge next -> mover.q
  edge mover -> logits
  expect used {{ patch mover from abc require m <= 50% * model.m ci 95 }}
}}
"""
    return "circuitspec 1\n" + task + "".join(body.format(i=i) for i in range(count))


def test_rules_have_names_and_codes_of_their_own() -> None:
    assert len({rule.CODE for rule in RULES}) == len(RULES)
    assert len({rule.NAME for rule in RULES}) == len(RULES)
