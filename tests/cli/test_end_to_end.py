"""`verify` and `scan` on the packaged model, from the command line to the exit code."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import circuitspec.report
from circuitspec.model.source import find

pytest.importorskip("torch", reason="verify computes with torch")

SPEC = '''\
circuitspec 1

"""Three heads read the repeated name."""
hypothesis readers {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    template baba "When {S1} and {IO} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english distinct one_token
    slot S2 from S1
    slot place from nouns.ioi_places one_token
    slot thing from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 100, reference 50 each template, seed 1
    bos no
  }
  role reader = a2.h0, a3.h2, a3.h5 @ END attends S2
  edge input -> reader.qkv
  edge reader -> logits
  expect look { require attention(reader) >= 0.7 ci 95 }
  expect needed {
    patch all reader -> logits from abc direct
    require logit_diff <= 50% * model.logit_diff ci 95
  }
}
'''
SCHEMA = json.loads((Path(circuitspec.report.__file__).parent / "result.schema.json").read_text())


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    path = tmp_path / "readers.circuit"
    path.write_text(SPEC)
    return path


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_what_holds_exits_0_and_prints_a_table(run, readers: Path) -> None:
    done = run("verify", readers)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("readers ─")
    assert lines[0].endswith(" ✓ holds")
    for name in ("look", "needed"):
        assert any(x.startswith(f"✓ {name} ") and x.endswith(" holds") for x in lines), name
    row = next(x for x in lines if "logit_diff <= 50%" in x)
    assert row.split()[-3:] == ["≤", "0", "100"]
    assert "self-checks ✓" in done.out
    assert "seed 1" in done.out


def test_json_is_valid_complete_and_repeatable(run, readers: Path) -> None:
    first = json.loads(run("verify", readers, "--format", "json").out)
    Draft202012Validator(SCHEMA).validate(first)
    (hypothesis,) = first["hypotheses"]
    assert [c["name"] for c in hypothesis["claims"]] == ["look", "needed"]
    assert hypothesis["file"] == str(readers)
    measures = hypothesis["claims"][1]["measures"]
    (requirement,) = hypothesis["claims"][1]["requirements"]
    contrast = measures["logit_diff"] - 0.5 * measures["model.logit_diff"]
    assert requirement["estimate"] == pytest.approx(contrast, abs=1e-9)
    assert requirement["interval"][0] < contrast < requirement["interval"][1] < 0
    assert all(check["passed"] for check in hypothesis["self_checks"])
    second = json.loads(run("verify", readers, "--format", "json").out)
    assert first.pop("seconds") > 0
    assert second.pop("seconds") > 0
    assert json.dumps(first) == json.dumps(second)


def test_a_lock_is_met_until_something_moves(run, readers: Path) -> None:
    missing = run("verify", readers, "--locked")
    assert (missing.code, missing.out) == (2, "")
    assert "--write-lock" in missing.err
    assert run("verify", readers, "--write-lock").code == 0
    same = run("verify", readers, "--locked")
    assert (same.code, same.err) == (0, "nothing moved since readers.circuit.lock\n")
    assert run("verify", readers, "--only", "look", "--locked").code == 0
    other = run("verify", readers, "--locked", "--seed", "2")
    assert other.code == 1
    assert "prompts are others" in other.err
    assert "attention(reader) >= 0.7 ci 95 measures" in other.err
    assert "✓ holds" in other.out
    lock = readers.with_name("readers.circuit.lock")
    lock.write_text(lock.read_text().replace("circuitspec.lock/1", "circuitspec.lock/9"))
    assert run("verify", readers, "--locked").code == 2


@pytest.mark.parametrize("part", [("--only", "look"), ("--seed", "2"), ("--locked",)])
def test_a_lock_is_of_the_whole_spec(run, readers: Path, part: tuple[str, ...]) -> None:
    done = run("verify", readers, "--write-lock", *part)
    assert (done.code, done.out) == (2, "")
    assert not readers.with_name("readers.circuit.lock").exists()


def test_what_is_refuted_exits_1(run, readers: Path) -> None:
    done = run("verify", changed(readers, "attention(reader) >= 0.7", "attention(reader) <= 0.2"))
    assert done.code == 1
    assert "✗ look" in done.out
    assert "✓ needed" in done.out


def test_what_is_undecided_exits_3(run, readers: Path) -> None:
    document = json.loads(run("verify", readers, "--only", "look", "--format", "json").out)
    (requirement,) = document["hypotheses"][0]["claims"][0]["requirements"]
    middle = round(requirement["estimate"], 3)
    done = run(
        "verify", changed(readers, "attention(reader) >= 0.7", f"attention(reader) >= {middle}")
    )
    assert done.code == 3
    assert "? look" in done.out
    assert "inconclusive" in done.out


@pytest.mark.parametrize("name", ["needed", "readers.needed"])
def test_only(run, readers: Path, name: str) -> None:
    document = json.loads(run("verify", readers, "--only", name, "--format", "json").out)
    assert [c["name"] for c in document["hypotheses"][0]["claims"]] == ["needed"]


def test_only_what_is_there(run, readers: Path) -> None:
    done = run("verify", readers, "--only", "neded")
    assert done.code == 2
    assert "neded" in done.err
    assert "readers.needed" in done.err


def test_flags_show_in_the_result(run, readers: Path) -> None:
    done = run("verify", readers, "--seed", 5, "--dtype", "float64", "--batch-size", 7,
               "--format", "json")  # fmt: skip
    document = json.loads(done.out)
    assert document["seed"] == 5
    assert document["batch_size"] == 7
    assert document["hypotheses"][0]["model"]["dtype"] == "float64"
    assert document["hypotheses"][0]["model"]["device"] == "cpu"


@pytest.mark.slow
def test_replicates_stand_beside_the_verdict(run, readers: Path) -> None:
    done = run("verify", readers, "--replicate", 2)
    assert done.code == 0
    assert "replicated  2 further seeds: 2 hold" in done.out


def test_results_to_files_for_ci(
    run, readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    changed(readers, "attention(reader) >= 0.7", "attention(reader) <= 0.2")
    done = run("verify", readers, "--format", "github")
    assert done.code == 1
    line = SPEC.splitlines().index("  expect look { require attention(reader) >= 0.7 ci 95 }") + 1
    assert f"::error file={readers},line={line}," in done.out
    assert "| ✗ | look |" in summary.read_text()
    out = tmp_path / "junit.xml"
    done = run("verify", readers, "--format", "junit", "--output", out)
    assert (done.code, done.out) == (1, "")
    assert ET.parse(out).getroot().get("failures") == "1"
    assert "refuted" in done.err


def test_a_device_that_is_none(run, readers: Path) -> None:
    done = run("verify", readers, "--device", "abacus")
    assert done.code == 2
    assert "abacus" in done.err


# ── Models that cannot be had ────────────────────────────────────────────────────────────────────


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the packaged model beside the spec."""
    packaged = find("ioi-mini").path
    assert packaged is not None
    return Path(shutil.copytree(packaged, tmp_path / "checkpoint"))


def test_a_directory_beside_the_spec(run, readers: Path, checkpoint: Path) -> None:
    changed(readers, 'model "ioi-mini"', f'model "./{checkpoint.name}"')
    assert run("verify", readers).code == 0


def test_a_missing_directory(run, readers: Path) -> None:
    done = run("verify", changed(readers, 'model "ioi-mini"', 'model "./absent"'))
    assert done.code == 2
    assert "there is no directory './absent'" in done.err
    assert "model" in done.err


def test_a_truncated_file(run, readers: Path, checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    done = run("verify", changed(readers, 'model "ioi-mini"', f'model "./{checkpoint.name}"'))
    assert done.code == 2
    assert "model.safetensors" in done.err
    assert "truncated" in done.err


def test_a_checkpoint_with_nan(run, readers: Path, checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = checkpoint / "model.safetensors"
    state = load_file(weights)
    name = next(key for key in state if key.endswith("mlp.c_fc.weight"))
    state[name][0, 0] = float("nan")
    save_file(state, weights, metadata={"format": "pt"})
    done = run("verify", changed(readers, 'model "ioi-mini"', f'model "./{checkpoint.name}"'))
    assert done.code == 2
    assert "NaN" in done.err


# ── scan ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_scan_finds_the_readers(run, readers: Path, tmp_path: Path) -> None:
    changed(readers, "sample evaluation 100, reference 50", "sample evaluation 16, reference 50")
    done = run("scan", "ioi-mini", readers, "--seed", 9, "--format", "json")
    assert done.code == 0
    document = json.loads(done.out)
    assert (document["seed"], document["n"]) == (9, 16)
    direct = {
        (cell["node"], cell["position"]): cell["direct"]
        for cell in document["cells"]
        if cell["direct"] is not None
    }
    strongest = sorted(direct, key=lambda key: direct[key])[:3]
    assert set(strongest) == {("a2.h0", "END"), ("a3.h2", "END"), ("a3.h5", "END")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("./absent", "SPEC"), "there is no directory './absent'"),
        (("ioi-mini", "SPEC", "--metric", "prob"), "it has: logit_diff"),
        (("ioi-mini", "SPEC", "--baseline", "xyz"), "it has: abc"),
        (("ioi-mini", "SPEC", "--task", "greater"), "there are: ioi"),
        (("ioi-mini", "absent.circuit"), "no such file"),
    ],
)
def test_scan_of_what_is_not_there(
    run, readers: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run("scan", *(readers if argument == "SPEC" else argument for argument in arguments))
    assert done.code == 2
    assert said in done.err
