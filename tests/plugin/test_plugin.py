"""What a project's pytest does with its specs: which it collects, what it prints, what it keeps."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import pytest

# At the top: what pytester imports first, it forgets again, and patches would reach another copy.
from circuitspec import extras, pytest_plugin, verification
from circuitspec.judge.records import RunResult
from circuitspec.model import kept
from circuitspec.report import junit

pytest_plugins = ["pytester"]

SPEC = '''\
circuitspec 1

"""A small hypothesis about the packaged model."""
hypothesis mini {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english    distinct one_token
    slot S2     from S1
    slot place  from nouns.ioi_places one_token
    slot thing  from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 80, reference 40 each template, seed 0
    bos no
  }
  role reader = a2.h0, a3.h2, a3.h5 @ END attends S2
  edge input  -> reader.qkv
  edge reader -> logits

  expect reads_the_name { require attention(reader) >= 0.7 ci 95 }
  expect is_needed {
    patch all reader -> logits from abc direct
    require logit_diff <= 60% * model.logit_diff ci 95
  }
  expect reads_something_else { require attention(reader) <= 0.3 ci 95 }
}
'''
"""Two claims that hold and one that is refuted."""

INSTALLED = any(e.value == "circuitspec.pytest_plugin" for e in entry_points(group="pytest11"))
LOAD = () if INSTALLED else ("-p", "circuitspec.pytest_plugin")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with an ordinary test, a spec, and a spec that is wrong and nobody asked for."""
    pytester.makepyfile(test_ordinary="def test_ordinary(): pass")
    for name, text in {
        "specs/mini": SPEC,
        "drafts/wrong": SPEC.replace("@ END", "@ NOWHERE"),
    }.items():
        path = pytester.path / f"{name}.circuit"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    return pytester


def collected(project: pytest.Pytester, *arguments: str) -> list[str]:
    done = project.runpytest_inprocess(*LOAD, "--collect-only", "-q", *arguments)
    return [line for line in done.outlines if "::" in line and "ERROR" not in line]


CLAIMS = [
    f"specs/mini.circuit::mini::{name}"
    for name in ("reads_the_name", "is_needed", "reads_something_else")
]
ORDINARY = ["test_ordinary.py::test_ordinary"]


def test_nothing_is_collected_that_was_not_asked_for(project: pytest.Pytester) -> None:
    assert collected(project) == ORDINARY


def test_the_patterns_of_the_ini_file_are_collected(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ncircuit_files = specs/*.circuit")
    assert sorted(collected(project)) == sorted(CLAIMS + ORDINARY)
    project.makeini("[pytest]\ncircuit_files = mi*.circuit")
    assert sorted(collected(project)) == sorted(CLAIMS + ORDINARY)


def test_a_file_or_a_claim_named_on_the_command_line_is_collected(project) -> None:
    assert collected(project, "specs/mini.circuit") == CLAIMS
    assert collected(project, CLAIMS[1]) == [CLAIMS[1]]


def test_all_are_collected_on_demand_and_mistakes_are_shown(project: pytest.Pytester) -> None:
    done = project.runpytest_inprocess(*LOAD, "--circuits", "-q")
    done.assert_outcomes(errors=1)
    text = done.stdout.str()
    assert "ERROR drafts/wrong.circuit" in text
    assert re.search(r"error\[H047\]: .*NOWHERE", text), text
    assert "reader = a2.h0, a3.h2, a3.h5 @ NOWHERE attends S2" in text, "the line, not a traceback"
    assert "Traceback" not in text


def test_claims_pass_and_fail_with_their_rows(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini("[pytest]\ncircuit_files = *i.circuit")
    monkeypatch.setenv("COLUMNS", "200")
    done = project.runpytest_inprocess(*LOAD, "-p", "no:xdist", "--junit-xml=out.xml")
    done.assert_outcomes(passed=3, failed=1)
    text = done.stdout.str()
    assert "mini.reads_something_else" in text
    assert "✗ attention(reader) <= 0.3" in text
    assert re.search(r"FAILED .*::reads_something_else - refuted: attention\(reader\)", text), text
    assert "Traceback" not in text
    assert "pytest_plugin.py" not in text

    root = ET.parse(project.path / "out.xml").getroot()
    case = root.find(".//testcase[@name='is_needed']")
    assert case is not None
    assert case.get("classname") == "specs.mini.circuit.mini"
    values = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert values["verdict"] == "holds"
    assert values["require_1_n"] == "80"
    assert float(values["require_1_estimate"]) < 0
    failure = root.find(".//testcase[@name='reads_something_else']/failure")
    assert failure is not None
    assert failure.get("message").startswith("refuted: attention(reader) <= 0.3: 0.")


def test_models_are_loaded_once_a_session(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def counted(reference: str, *rest: object) -> object:
        loaded.append(reference)
        return load(reference, *rest)

    load = kept.load
    monkeypatch.setattr(kept, "load", counted)
    (project.path / "specs" / "again.circuit").write_text(SPEC.replace("mini {", "again {"))
    done = project.runpytest_inprocess(*LOAD, "specs/mini.circuit", "specs/again.circuit", "-q")
    done.assert_outcomes(passed=4, failed=2)
    assert loaded == ["ioi-mini"]


def test_a_kept_model_is_told_apart_by_revision_and_missing_ones_are_not_kept() -> None:
    loader = kept.KeptModels()
    model, found = loader("ioi-mini")
    assert found == ()
    assert loader("ioi-mini")[0] is model
    other, found = loader("ioi-mini", "sha256:0000000000000000")
    assert (other, [d.code for d in found]) == (None, ["M012"])
    for _ in range(2):
        missing, found = loader("./nowhere")
        assert (missing, [d.code for d in found]) == (None, ["M001"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[verification.Options]:
    """The options of every run that is made."""
    found = []

    def noted(path: object, *, options: verification.Options, loader: object) -> object:
        found.append(options)
        return verify(path, options=options, loader=loader)

    verify = verification.verify
    monkeypatch.setattr(verification, "verify", noted)
    return found


def test_only_the_selected_claims_of_a_hypothesis_are_verified_and_together(
    project: pytest.Pytester, asked: list[verification.Options]
) -> None:
    chosen = ("-k", "reads_the_name or is_needed", "--circuit-n", "40", "--circuit-device", "cpu")
    done = project.runpytest_inprocess(*LOAD, "specs", "--circuits", *chosen)
    done.assert_outcomes(passed=2, deselected=1)
    assert "circuitspec: 40 evaluation prompts in place of each spec's own" in done.stdout.str()
    (options,) = asked
    assert options.only == ("mini.reads_the_name", "mini.is_needed")
    assert (options.n, options.device) == (40, "cpu")


def test_n_replaces_the_prompts_of_the_spec(project: pytest.Pytester) -> None:
    done = project.runpytest_inprocess(*LOAD, CLAIMS[0], "--circuit-n", "40", "--junit-xml=out.xml")
    done.assert_outcomes(passed=1)
    found = ET.parse(project.path / "out.xml").find(".//property[@name='require_1_n']")
    assert found is not None
    assert found.get("value") == "40"
    assert project.runpytest_inprocess(*LOAD, "--circuit-n", "0").ret == pytest.ExitCode.USAGE_ERROR


def test_markers_come_from_patterns_and_gpu_is_skipped_without_one(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[verification.Options],
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    project.makeini(
        "[pytest]\naddopts = --strict-markers\ncircuit_files = specs/*\n"
        "circuit_marks =\n  slow: *::is_needed\n  gpu: *::reads_something_else nothing.circuit\n"
    )
    done = project.runpytest_inprocess(*LOAD, "specs", "-m", "not slow", "-rs")
    done.assert_outcomes(passed=1, skipped=1, deselected=1)
    assert "no CUDA device" in done.stdout.str()
    assert [(o.only, o.device) for o in asked] == [(("mini.reads_the_name",), None)]
    project.makeini("[pytest]\ncircuit_marks = slow specs/*\n")
    assert project.runpytest_inprocess(*LOAD).ret == pytest.ExitCode.USAGE_ERROR


GPU = "[pytest]\ncircuit_files = specs/*\ncircuit_marks = gpu: *::is_needed *::reads_the_name\n"


def test_claims_marked_gpu_go_to_cuda_and_the_others_do_not(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of `verify` where there is a GPU; nothing is computed, so none is needed."""
    asked = []

    def noted(path: object, *, options: verification.Options, loader: object) -> object:
        asked.append((options.only, options.device))
        return None, ()

    monkeypatch.setattr(verification, "verify", noted)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    project.makeini(GPU)
    project.runpytest_inprocess(*LOAD, "specs").assert_outcomes(failed=3)
    marked = ("mini.reads_the_name", "mini.is_needed")
    assert asked == [(marked, "cuda"), (("mini.reads_something_else",), None)]
    asked.clear()
    project.runpytest_inprocess(*LOAD, "specs", "--circuit-device", "cuda:1")
    assert asked == [((*marked, "mini.reads_something_else"), "cuda:1")], "one run for all"
    asked.clear()
    project.runpytest_inprocess(*LOAD, "specs", "-m", "gpu").assert_outcomes(failed=2, deselected=1)
    assert asked == [(marked, "cuda")]


def test_the_cpu_may_be_asked_for_where_there_is_no_gpu(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[verification.Options],
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    project.makeini(GPU)
    done = project.runpytest_inprocess(*LOAD, "specs", "-m", "gpu", "--circuit-device", "cpu")
    done.assert_outcomes(passed=2, deselected=1)
    assert [o.device for o in asked] == ["cpu"]


@pytest.mark.parametrize(
    ("device", "said"), [("gpu", "'gpu' is not a device"), ("cuda", "there is no CUDA device")]
)
def test_a_device_that_is_not_there_fails_with_a_sentence(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, device: str, said: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = project.runpytest_inprocess(*LOAD, CLAIMS[0], "--circuit-device", device)
    done.assert_outcomes(failed=1)
    assert "error[V002]" in done.stdout.str()
    assert said in done.stdout.str()
    assert "Traceback" not in done.stdout.str()


def test_warnings_of_check_are_warnings_of_pytest(project: pytest.Pytester) -> None:
    path = project.path / "specs" / "mini.circuit"
    unused = "protocol unheard_of { ablate by nodes with zero }"
    path.write_text(SPEC.replace("expect reads_the", f"{unused}\n  expect reads_the"))
    done = project.runpytest_inprocess(*LOAD, "specs/mini.circuit", "--collect-only")
    assert re.search(
        r"CircuitspecWarning: specs/mini.circuit:\d+: H050 .*unheard_of", done.stdout.str()
    )


def test_a_model_that_is_mostly_wrong_is_a_warning(project: pytest.Pytester) -> None:
    """The model names the other one, which is what this metric counts as wrong."""
    path = project.path / "specs" / "mini.circuit"
    text = SPEC.replace("logit(IO) - logit(S1)", "logit(S1) - logit(IO)")
    assert text != SPEC
    path.write_text(text)
    done = project.runpytest_inprocess(*LOAD, "specs/mini.circuit")
    (told,) = {line.strip() for line in done.stdout.lines if "right answer in only" in line}
    assert "CircuitspecWarning: mini: ! logit_diff: the model" in told
    assert done.parseoutcomes()["warnings"] >= 1


def test_a_claim_that_says_nothing_is_a_warning(project: pytest.Pytester) -> None:
    """Where no cut output differs much, the empty circuit does as well: told of the looks too."""
    path = project.path / "specs" / "mini.circuit"
    other = "baseline place = resample(place)\n    sample evaluation"
    claim = """expect says_nothing {
    ablate complement by nodes with counterfactual from place
    until decided, at most 256
    require logit_diff within 20% of model.logit_diff ci 95
  }
  expect reads_the_name"""
    text = SPEC.replace("sample evaluation", other).replace("expect reads_the_name", claim)
    path.write_text(text)
    done = project.runpytest_inprocess(*LOAD, "specs/mini.circuit::mini::says_nothing")
    done.assert_outcomes(passed=1, warnings=1)
    told = " ".join(done.stdout.str().split())
    assert "CircuitspecWarning: mini.says_nothing: the empty circuit meets `logit_diff" in told


def test_what_has_to_be_installed_is_said(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "NEEDED", ("no_such_module_for_sure",))
    done = project.runpytest_inprocess(*LOAD, CLAIMS[0])
    done.assert_outcomes(failed=1)
    assert "pip install 'circuitspec[verify]'" in done.stdout.str()


def test_a_model_that_is_not_there_fails_its_claims_alone(project: pytest.Pytester) -> None:
    """A directory's content is known once it is loaded; of a packaged model, when collecting."""
    path = project.path / "specs" / "mini.circuit"
    copytree(Path(extras.__file__).parent / "model" / "zoo" / "ioi-mini", project.path / "copied")
    path.write_text(SPEC.replace('"ioi-mini"', '"../copied" revision "sha256:0000000000000000"'))
    done = project.runpytest_inprocess(*LOAD, "specs/mini.circuit", "test_ordinary.py")
    done.assert_outcomes(passed=1, failed=3)
    assert "error[M012]" in done.stdout.str()


@pytest.mark.slow
def test_a_repository_with_specs_among_its_tests(project: pytest.Pytester) -> None:
    """As a project has it: settings in pyproject.toml, a worker, and a report for its CI."""
    project.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        testpaths = ["test_ordinary.py", "specs"]
        circuit_files = ["specs/*.circuit"]
        addopts = "--strict-markers --strict-config -n 1 --junit-xml=report.xml"
        """
    )
    done = project.runpytest_subprocess(*LOAD)
    done.assert_outcomes(passed=3, failed=1)
    assert "✗ attention(reader) <= 0.3" in done.stdout.str()
    root = ET.parse(project.path / "report.xml").getroot()
    assert not list(mistakes_in_junit(root))
    values = [p.get("value") for p in root.iter("property") if p.get("name") == "verdict"]
    assert sorted(values) == ["holds", "holds", "refuted"]


NOTING = """
import os
from pathlib import Path

from circuitspec import verification
from circuitspec.model import kept

NOTES = Path(__file__).with_name("notes")
load, verify = kept.load, verification.verify


def note(what):
    with NOTES.open("a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {what}\\n")


def noted_load(reference, *rest):
    note(f"load {reference}")
    return load(reference, *rest)


def noted_verify(path, *, options, loader):
    note("verify " + ",".join(options.only))
    return verify(path, options=options, loader=loader)


kept.load, verification.verify = noted_load, noted_verify
"""


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["loadfile", "load"])
def test_workers_share_the_claims_and_load_the_model_once_each(
    project: pytest.Pytester, dist: str
) -> None:
    project.makeconftest(NOTING)
    (project.path / "specs" / "again.circuit").write_text(SPEC.replace("mini {", "again {"))
    arguments = ("-n", "2", "--dist", dist, "specs", "--circuits", "--circuit-n", "40")
    done = project.runpytest_subprocess(*LOAD, *arguments)
    done.assert_outcomes(passed=4, failed=2)
    notes = [line.split(" ", 1) for line in (project.path / "notes").read_text().splitlines()]
    workers = {worker for worker, _ in notes}
    assert workers == {"gw0", "gw1"}
    for worker in workers:
        assert [what for w, what in notes if w == worker and "load" in what] == ["load ioi-mini"]
    decided = sorted(what for _, what in notes if what.startswith("verify"))
    names = ("reads_the_name", "is_needed", "reads_something_else")
    if dist == "loadfile":
        together = [",".join(f"{h}.{n}" for n in names) for h in ("again", "mini")]
        assert decided == [f"verify {claims}" for claims in together]
    else:
        assert decided == sorted(f"verify {h}.{n}" for h in ("again", "mini") for n in names)


def mistakes_in_junit(root: ET.Element) -> Iterator[str]:
    """What a reader of JUnit's XML would stumble over: nesting, attributes, counts."""
    inside = {
        "testsuites": {"testsuite"},
        "testsuite": {"properties", "testcase", "system-out", "system-err"},
        "testcase": {"properties", "failure", "error", "skipped", "system-out", "system-err"},
        "properties": {"property"},
    }
    needed = {
        "testsuite": {"name", "tests", "failures", "errors"},
        "testcase": {"classname", "name"},
        "failure": {"message"},
        "error": {"message"},
        "property": {"name", "value"},
    }
    for element in root.iter():
        yield from (f"<{c.tag}> in <{element.tag}>" for c in element
                    if c.tag not in inside.get(element.tag, ()))  # fmt: skip
        yield from (f"<{element.tag}> without {name}" for name in needed.get(element.tag, set())
                    if element.get(name) is None)  # fmt: skip
    for suite in root.iter("testsuite"):
        for count, path in (("tests", "testcase"), ("failures", "testcase/failure"),
                            ("errors", "testcase/error")):  # fmt: skip
            if int(suite.get(count, -1)) != len(suite.findall(path)):
                yield f"{count} {suite.get(count)}, and there are {len(suite.findall(path))}"


def test_our_own_junit_is_as_valid(every_verdict: RunResult) -> None:
    root = ET.fromstring(junit.render(every_verdict))
    assert root.tag == "testsuites"
    assert not list(mistakes_in_junit(root))
    root[0].set("failures", "0")
    assert len(list(mistakes_in_junit(root))) == 1


@pytest.mark.parametrize(("dist", "whole"), [("load", False), ("loadfile", True)])
def test_workers_know_whether_they_get_whole_hypotheses(dist: str, whole: bool) -> None:
    config = SimpleNamespace(getoption={"dist": dist}.__getitem__)
    node = SimpleNamespace(config=config, workerinput={})
    pytest_plugin.pytest_configure_node(node)
    assert node.workerinput == {pytest_plugin.WHOLE: whole}
