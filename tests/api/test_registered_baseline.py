"""A baseline of another package: found by entry point, run where prompts are, named in results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import circuitspec
from circuitspec.judge.records import RunResult
from circuitspec.listing import CannotListError
from circuitspec.loading import load_spec
from circuitspec.lsp.documents import document
from circuitspec.planning import plan
from circuitspec.verification import Options
from circuitspec.verification import verify as run

from ..verification.conftest import ROOT

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
NAMES = ("Alice", "Brian", "Charles", "Daniel", "Kate", "Sam")

MODULE = f"""\
'''Baselines from elsewhere.'''
import random

NAMES = {NAMES!r}


def renamed(prompts, *slots):
    '''Other names in the slots, from a list of its own.'''
    found = []
    for prompt in prompts:
        free = [n for n in NAMES if n not in prompt.slots.values()]
        changed = {{}}
        for slot in slots:
            changed[slot] = free.pop(int(prompt.random.random() * len(free)))
        found.append(changed)
    return found


def as_ids(prompts, first, second):
    '''The tokens of two slots exchanged.'''
    for prompt in prompts:
        ids = list(prompt.tokens)
        (i,), (j,) = prompt.positions[first], prompt.positions[second]
        ids[i], ids[j] = ids[j], ids[i]
        yield ids


def too_few(prompts):
    return [prompt.tokens for prompt in prompts[1:]]


def too_short(prompts):
    return [prompt.tokens[:-1] for prompt in prompts]


def out(prompts):
    return [(10**6, *prompt.tokens[1:]) for prompt in prompts]


def negative(prompts):
    return [(-1, *prompt.tokens[1:]) for prompt in prompts]


def fails(prompts):
    raise RuntimeError("no\\nluck")


def stops(prompts):
    raise SystemExit(0)


def fails_late(prompts):
    yield prompts[0].tokens
    raise KeyError("late")


def nothing(prompts):
    pass


def text(prompts):
    return "When Mary and John"


def words_of_none(prompts):
    return [None for _ in prompts]


def texts(prompts):
    return [prompt.text for prompt in prompts]


def by_luck(prompts):
    return [{{"IO": random.choice(NAMES)}} for _ in prompts]


def no_such_slot(prompts):
    return [{{"XY": "Alice"}} for _ in prompts]


def no_word(prompts):
    return [{{"IO": 3}} for _ in prompts]


def unknown_word(prompts):
    return [{{"IO": "Xerxes"}} for _ in prompts]


def long_word(prompts):
    return [{{"IO": "Alice Alice"}} for _ in prompts]


def writes(prompts):
    prompts[0].slots["IO"] = "Alice"
"""
BASELINES = (
    "renamed", "as_ids", "too_few", "too_short", "out", "negative", "fails", "stops", "fails_late",
    "nothing", "text", "words_of_none", "texts", "by_luck", "no_such_slot", "no_word", "long_word",
    "unknown_word", "writes", "gone",
)  # fmt: skip

HEAD = TEXT[: TEXT.index("protocol nodes")].replace(
    "evaluation 240, reference 100 each template, seed 0",
    "evaluation 24, reference 8 each template, pool 60, seed 0",
)
ROLES = TEXT[TEXT.index("hypothesis ioi_mini {") : TEXT.index('  """These heads at these')]
METRIC = "logit_diff <= 1000"
CLAIMS = f"""\
  expect means {{
    ablate complement by nodes with mean from other over template
    require {METRIC} ci 95
  }}
  expect resampled {{
    ablate suppressor by nodes with resample from other draws 2
    require {METRIC} ci 95
  }}
  expect paired {{
    ablate suppressor by edges with counterfactual from other
    require {METRIC} ci 95
  }}
  expect patched {{ patch suppressor from other require {METRIC} ci 95 }}
  expect path {{
    patch all last_mention -> suppressor.q from other direct
    require {METRIC} ci 95
  }}
  expect restored {{ run from other restore suppressor require {METRIC} ci 95 }}
"""
SCRUB = f"  expect scrubbed {{ scrub over other draws 2 require {METRIC} ci 95 }}\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that brings baselines."""
    (tmp_path / "acme_baselines.py").write_text(MODULE)
    info = tmp_path / "acme_baselines-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-baselines\nVersion: 0.3\n")
    points = "".join(f"{name} = acme_baselines:{name}\n" for name in BASELINES)
    (info / "entry_points.txt").write_text(f"[circuitspec.baselines]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.delitem(sys.modules, "acme_baselines", raising=False)
    return tmp_path


def spec(folder: Path, baseline: str, claims: str = CLAIMS) -> Path:
    head = HEAD.replace("  baseline abc = resample(IO, S1, S2)", f"  baseline other = {baseline}")
    path = folder / "spec.circuit"
    path.write_text(f"{head}{ROLES}{claims}}}\n", "utf-8")
    return path


def sets(lines: list[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
    found = defaultdict(list)
    for line in lines:
        found[str(line["set"])].append(line)
    return found


MADE = "baseline other is made by `renamed` of acme-baselines 0.3 (acme_baselines:renamed)"


def test_opening_a_spec_runs_nothing_and_says_so(package: Path) -> None:
    path = spec(package, "renamed(IO, S1)")
    loaded = circuitspec.load(path)
    assert loaded.ok, loaded.diagnostics
    assert circuitspec.check(path) == tuple(d for d in loaded.diagnostics if d.code.startswith("H"))
    assert loaded.not_checked == (f"{MADE}, which runs where its prompts are listed or used",)
    assert loaded.bound[0].task is None, "never a task that lacks what its claims use"
    assert "acme_baselines" not in sys.modules


@pytest.mark.parametrize(
    "command", [["check"], ["expand"], ["render"], ["fmt", "--check"]], ids=lambda c: c[0]
)
def test_light_commands_import_nothing_of_it(package: Path, command: list[str]) -> None:
    (package / "acme_baselines.py").write_text("raise SystemExit('this was run')")
    path = spec(package, "renamed(IO, S1)")
    done = subprocess.run(
        [sys.executable, "-m", "circuitspec", *command, str(path)],
        capture_output=True, text=True, check=False, cwd=package,
    )  # fmt: skip
    assert "this was run" not in done.stdout + done.stderr
    assert done.returncode in (0, 1), done.stderr  # fmt --check finds what it would lay out
    assert "Traceback" not in done.stderr


def test_an_open_document_runs_nothing(package: Path) -> None:
    """What the language server does with one: `document` at once, `load_spec` when it rests."""
    path = spec(package, "renamed(IO, S1)")
    text = path.read_text("utf-8")
    (hypothesis,) = document(str(path), text).hypotheses
    assert hypothesis.name == "ioi_mini"
    assert load_spec(path, text=text, prompts="few").ok
    assert "acme_baselines" not in sys.modules


def test_its_prompts_are_listed_and_line_up(package: Path) -> None:
    found = sets(circuitspec.prompts(spec(package, "renamed(IO, S1)", CLAIMS + SCRUB)))
    assert set(found) == {
        "evaluation", "reference:other", "counterfactual:other", "pool:scrubbed"
    }  # fmt: skip
    assert len(found["reference:other"]) == 48
    assert len(found["pool:scrubbed"]) == 60
    for clean, other in zip(found["evaluation"], found["counterfactual:other"], strict=True):
        assert other["pair"] == clean["index"]
        assert other["slots"]["IO"] in NAMES
        assert other["slots"]["S1"] == other["slots"]["S2"] in NAMES, "S2 follows S1"
        assert not {other["slots"]["IO"], other["slots"]["S1"]} & set(clean["slots"].values())
        assert other["positions"] == clean["positions"]
        assert len(other["tokens"]) == len(clean["tokens"])


def test_the_same_seed_gives_the_same_and_more_prompts_leave_the_first(package: Path) -> None:
    path = spec(package, "renamed(IO, S1)")
    first = circuitspec.prompts(path)
    assert circuitspec.prompts(path) == first
    other = circuitspec.prompts(path, seed=1)
    assert sets(other)["counterfactual:other"] != sets(first)["counterfactual:other"]
    path.write_text(path.read_text("utf-8").replace("evaluation 24", "evaluation 36"), "utf-8")
    more = sets(circuitspec.prompts(path))["counterfactual:other"]
    assert more[:24] == sets(first)["counterfactual:other"]
    assert len(more) == 36


def test_token_ids_are_enough(package: Path) -> None:
    found = sets(circuitspec.prompts(spec(package, "as_ids(IO, S1)")))
    for clean, other in zip(found["evaluation"], found["counterfactual:other"], strict=True):
        (io,), (s1,) = clean["positions"]["IO"], clean["positions"]["S1"]
        assert (other["tokens"][io], other["tokens"][s1]) == (
            clean["tokens"][s1], clean["tokens"][io],
        )  # fmt: skip
        assert "IO" not in other["slots"], "which word that is only its tokens tell"
        assert other["slots"]["S2"] == clean["slots"]["S2"]
        assert other["text"] != clean["text"]
        assert clean["slots"]["IO"] in str(other["text"])


def decided(result: RunResult) -> dict[str, str]:
    """The verdicts of a run whose self-checks all passed."""
    (hypothesis,) = result.hypotheses
    assert MADE in hypothesis.notes
    failed = [c for c in hypothesis.self_checks if not c.passed]
    assert not failed, failed
    return {claim.name: claim.verdict for claim in hypothesis.claims}


def test_every_claim_can_use_it_and_the_audit_agrees(package: Path) -> None:
    path = spec(package, "renamed(IO, S1)", CLAIMS)
    result, found = run(path, options=Options(controls=0, audit=True))
    assert result is not None, found
    verdicts = decided(result)
    assert set(verdicts) == {"means", "resampled", "paired", "patched", "path", "restored"}
    # 24 prompts may have a heavy tail
    assert set(verdicts.values()) <= {"holds", "inconclusive"}, verdicts
    again, _ = run(path, options=Options(controls=0, only=("patched",)))
    assert again is not None
    (only,) = again.hypotheses[0].claims
    patched = next(c for c in result.hypotheses[0].claims if c.name == "patched")
    assert only.measures == patched.measures


def test_a_scrub_can_draw_from_it(package: Path) -> None:
    result, found = run(spec(package, "renamed(IO, S1)", SCRUB), options=Options(controls=0))
    assert result is not None, found
    verdicts = decided(result)
    assert set(verdicts) == {"scrubbed"}
    assert set(verdicts.values()) <= {"holds", "inconclusive"}, verdicts


def test_it_is_the_same_as_ours_that_does_the_same(package: Path) -> None:
    """`as_ids(IO, S1)` and `swap` of the same tokens: one counterfactual, one figure."""
    measured = []
    for baseline in ("as_ids(IO, S2)", "swap(IO, S2)"):
        claim = f"  expect patched {{ patch suppressor from other require {METRIC} ci 95 }}\n"
        path = spec(package, baseline, claim)
        if "swap" in baseline:
            measured.append([p["tokens"] for p in sets(circuitspec.prompts(path))["evaluation"]])
        result, found = run(path, options=Options(controls=0))
        assert result is not None, found
        measured.append(result.hypotheses[0].claims[0].measures["logit_diff"])
    assert measured[0] == measured[2]


def test_a_plan_counts_what_it_makes(package: Path) -> None:
    plans, found = plan(spec(package, "renamed(IO, S1)"))
    assert plans is not None, found


WRONG = {
    "too_few()": "gave 23 counterfactuals for 24 prompts",
    "too_short()": "values correspond token by token",
    "out()": "gave token id 1000000 for",
    "negative()": "gave token id -1 for",
    "fails()": "failed: RuntimeError: no luck (acme_baselines.py:",
    "stops()": "failed: SystemExit: 0 (acme_baselines.py:",
    "fails_late()": "failed: KeyError: 'late' (acme_baselines.py:",
    "nothing()": "gave nothing, not a list",
    "text()": "gave a value of type str, not a list",
    "words_of_none()": "gave nothing for 'When",
    "texts()": "gave a value of type str for 'When",
    "by_luck()": "draw from the prompt's own `random`",
    "no_such_slot()": "changes 'XY', which is not a slot of",
    "no_word()": "gave a value of type int for the slot 'IO', not a word",
    "unknown_word()": "`Xerxes` for slot `IO`: not in the tokenizer's vocabulary",
    "writes()": "failed: TypeError:",
    "renamed(1)": "changes 1, which is not a slot of",
    "renamed(slot = IO)": "failed: TypeError:",
    "gone()": "cannot be loaded: AttributeError:",
}


@pytest.mark.parametrize("baseline", WRONG)
def test_what_cannot_be_used_is_said_in_a_sentence(package: Path, baseline: str) -> None:
    path = spec(package, baseline)
    assert not [d for d in circuitspec.check(path) if d.severity.value == "error"]
    with pytest.raises(circuitspec.SpecError) as caught:
        circuitspec.prompts(path)
    (error,) = [d for d in caught.value.diagnostics if d.severity.value == "error"]
    assert error.code == "T042"
    assert WRONG[baseline] in f"{error.message}; {error.hint}"
    assert "\n" not in error.message
    assert "baseline other" in path.read_text("utf-8").splitlines()[error.span.line - 1]


def test_words_that_do_not_line_up_are_a_mistake(package: Path) -> None:
    with pytest.raises(circuitspec.SpecError, match=r"values correspond|one token|equally long"):
        circuitspec.prompts(spec(package, "long_word()"))


def test_a_scrub_needs_words(package: Path) -> None:
    path = spec(package, "as_ids(IO, S1)", CLAIMS + SCRUB)
    with pytest.raises(CannotListError, match="ids, and a scrub over it draws by features"):
        circuitspec.prompts(path)
    result, _ = run(path, options=Options(controls=0, only=("scrubbed",)))
    assert result is not None
    (claim,) = result.hypotheses[0].claims
    assert claim.verdict == "invalid"
    assert "gave token ids" in str(claim.reason)


def test_a_mistake_in_its_arguments_is_seen_without_it(package: Path) -> None:
    found = circuitspec.check(spec(package, "renamed(XY)"))
    assert any(d.code == "T011" and "`XY`" in d.message for d in found)
    assert "acme_baselines" not in sys.modules


def test_a_name_that_nobody_registers_is_a_mistake(tmp_path: Path) -> None:
    found = circuitspec.check(spec(tmp_path, "renamed_(IO, S1)"))
    assert any(d.code == "T013" and "no way to change a prompt" in d.message for d in found)


def test_the_command_lists_its_prompts(package: Path) -> None:
    command = [sys.executable, "-m", "circuitspec", "prompts", "--format", "jsonl"]
    path = spec(package, "renamed(IO, S1)")
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = sets([json.loads(line) for line in done.stdout.splitlines()])
    assert len(listed["counterfactual:other"]) == 24
    done = subprocess.run(
        [*command, str(spec(package, "fails()"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error[T042]" in done.stderr
    assert "Traceback" not in done.stderr
