"""The pytest plugin: `*.circuit` files are collected, one test a claim.

pytest loads this wherever circuitspec is installed, so it imports nothing heavy, and collects only
what was asked for: specs that the ini option `circuit_files` matches, all of them with
`--circuits`, and those named on the command line. A repository may well hold specs that are there
to be refuted, and installing a package should not change which tests a project has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from circuitspec.hypothesis.records import Claim
    from circuitspec.judge.records import ClaimResult
    from circuitspec.language.diagnostics import Diagnostic

SUFFIX = ".circuit"
WHOLE = "circuitspec_whole_hypotheses"
"""Key under which a worker of xdist is told that it gets all claims of a hypothesis."""


class CircuitspecWarning(UserWarning):
    """What `circuitspec check` warns of in a collected spec, or a model that mostly fails."""


class SpecError(Exception):
    """A spec that cannot be verified, with its diagnostics as text."""


class ClaimError(Exception):
    """A claim whose verdict is not *holds*."""

    def __init__(self, claim: ClaimResult) -> None:
        super().__init__(claim.name)
        self.claim = claim


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("circuitspec", "hypotheses about circuits in transformers")
    group.addoption(
        "--circuits", action="store_true", help="collect every *.circuit file, one test a claim"
    )
    group.addoption(
        "--circuit-device",
        metavar="DEVICE",
        help="where claims are verified: cpu (default; cuda for claims marked gpu), cuda, cuda:1",
    )
    group.addoption(
        "--circuit-n",
        type=int,
        metavar="N",
        help="evaluation prompts in place of each spec's own, for a quick look",
    )
    parser.addini("circuit_files", "patterns of the spec files to collect", type="args")
    parser.addini(
        "circuit_marks",
        "a line `marker: pattern ...` for each marker that claims get by file or node id",
        type="linelist",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and what keeps models and results for the session."""
    config.addinivalue_line("markers", "slow: a claim that takes long; leave out: -m 'not slow'")
    config.addinivalue_line("markers", "gpu: a claim verified on CUDA, skipped where there is none")
    n = config.getoption("circuit_n")
    if n is not None and n < 1:
        raise pytest.UsageError("--circuit-n: at least 1")
    config.stash[_VERIFIER] = _Verifier(config)
    config.stash[_MARKS] = tuple(_marks(config.getini("circuit_marks")))


def _marks(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        marker, found, patterns = line.partition(":")
        if not found or not marker.strip().isidentifier():
            raise pytest.UsageError(f"circuit_marks: {line!r} is not of the form 'marker: pattern'")
        yield from ((marker.strip(), pattern) for pattern in patterns.split())


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what the options change."""
    n = config.getoption("circuit_n")
    return None if n is None else f"circuitspec: {n} evaluation prompts in place of each spec's own"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist whether it will get whole hypotheses (`node` is its controller)."""
    node.workerinput[WHOLE] = node.config.getoption("dist") in ("loadfile", "loadscope")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> CircuitFile | None:
    """A collector for a spec that was asked for."""
    if file_path.suffix != SUFFIX:
        return None
    config = parent.config
    asked = config.getoption("circuits") or parent.session.isinitpath(file_path)
    if not asked:
        patterns = config.getini("circuit_files")
        asked = any(_matches(_relative(file_path, config), pattern) for pattern in patterns)
    return CircuitFile.from_parent(parent, path=file_path) if asked else None


def _relative(path: Path, config: pytest.Config) -> str:
    """A path as patterns are written: from the root directory, with slashes."""
    return Path(os.path.relpath(path, config.rootpath)).as_posix()


def _matches(path: str, pattern: str) -> bool:
    """A pattern without a slash is for names alone."""
    return fnmatch(path if "/" in pattern else path.rpartition("/")[2], pattern)


class CircuitFile(pytest.File):
    """A spec: its hypotheses, or its mistakes."""

    def collect(self) -> Iterator[CircuitHypothesis]:
        """The hypotheses that have claims, from the text alone; no model is loaded."""
        from circuitspec.language.diagnostics import Severity
        from circuitspec.loading import load_spec

        loaded = load_spec(self.path, prompts="few")
        if not loaded.ok:
            raise self.CollectError(_rendered(loaded.diagnostics, self.config))
        for found in loaded.diagnostics:
            if found.severity is Severity.WARNING:
                where = f"{_relative(self.path, self.config)}:{found.span.line}"
                self.warn(CircuitspecWarning(f"{where}: {found.code} {found.message}"))
        for bound in loaded.bound:
            if bound.hypothesis.claims:
                yield CircuitHypothesis.from_parent(
                    self, name=bound.hypothesis.name, claims=bound.hypothesis.claims
                )


class CircuitHypothesis(pytest.Collector):
    """A hypothesis: a test for each of its claims."""

    def __init__(self, *, claims: tuple[Claim, ...], **more: Any) -> None:
        super().__init__(**more)
        self._claims = claims

    def collect(self) -> Iterator[CircuitClaim]:
        """The claims in the order of the file."""
        for claim in self._claims:
            yield CircuitClaim.from_parent(self, name=claim.name, line=claim.span.line)


class CircuitClaim(pytest.Item):
    """A claim: passes if it holds, and prints what was measured if it does not."""

    def __init__(self, *, line: int, **more: Any) -> None:
        super().__init__(**more)
        self._line = line
        self.funcargs: dict[str, object] = {}  # none; some plugins look into every test's
        relative = _relative(self.path, self.config)
        for marker, pattern in self.config.stash[_MARKS]:
            if _matches(relative, pattern) or fnmatch(self.nodeid, pattern):
                self.add_marker(marker)

    @property
    def full_name(self) -> str:
        """`hypothesis.claim`, as `--only` takes it."""
        assert self.parent is not None
        return f"{self.parent.name}.{self.name}"

    @property
    def device(self) -> str | None:
        """Where it is to be verified; None is the CPU."""
        chosen: str | None = self.config.getoption("circuit_device")
        return chosen or ("cuda" if self.get_closest_marker("gpu") else None)

    def setup(self) -> None:
        """Leave out what needs a GPU where there is none, unless the CPU was asked for."""
        on_gpu = (self.device or "").startswith("cuda")
        if self.get_closest_marker("gpu") and on_gpu and not _cuda():
            pytest.skip("marked gpu, and there is no CUDA device on this machine")

    def runtest(self) -> None:
        """Verify the claim, with the rest of its hypothesis where that is to run too."""
        from circuitspec.report.junit import properties_of

        claim = self.config.stash[_VERIFIER].result_of(self)
        self.user_properties += properties_of(claim).items()
        if claim.verdict != "holds":
            raise ClaimError(claim)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The rows of the report, or the diagnostics; a traceback only for what is our mistake."""
        error = excinfo.value
        if isinstance(error, SpecError):
            return str(error)
        if not isinstance(error, ClaimError):
            return super().repr_failure(excinfo, style)
        from circuitspec.report.rows import reason_for
        from circuitspec.report.terminal import render_claim

        terminal = self.config.get_terminal_writer()
        rows = render_claim(error.claim, width=terminal.fullwidth, color=terminal.hasmarkup)
        return _Shown(f"{error.claim.verdict}: {reason_for(error.claim)}", rows)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The line of the claim in its file."""
        return self.path, self._line - 1, self.full_name


class _Shown:
    """A failure as pytest prints it; its first line also in the summary and as JUnit's message."""

    def __init__(self, message: str, rows: str) -> None:
        self.reprcrash = SimpleNamespace(message=message)
        self._text = f"{message}\n\n{rows}"

    def __str__(self) -> str:
        return self._text

    def toterminal(self, terminal: Any) -> None:
        """Print it; its colours are in it."""
        terminal.write(self._text)


class _Verifier:
    """Verifies claims as tests come to them, hypothesis by hypothesis, models loaded once."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._loader: Any = None
        self._results: dict[str, ClaimResult | SpecError] = {}
        worker = getattr(config, "workerinput", None)
        self._whole = worker is None or bool(worker.get(WHOLE))

    def result_of(self, item: CircuitClaim) -> ClaimResult:
        """The claim, judged. Raises SpecError where that is not possible."""
        if item.nodeid not in self._results:
            self._verify(self._together(item))
        result = self._results[item.nodeid]
        if isinstance(result, SpecError):
            raise result
        return result

    def _together(self, item: CircuitClaim) -> list[CircuitClaim]:
        """The claims decided in one run: those of the same hypothesis that were not deselected.

        They share what is computed. A worker of xdist that gets claims one by one decides them so,
        or every worker would decide all.
        """
        if not self._whole:
            return [item]
        claims = [each for each in item.session.items if isinstance(each, CircuitClaim)]
        return [c for c in claims if c.parent is item.parent and c.device == item.device]

    def _verify(self, items: list[CircuitClaim]) -> None:
        from circuitspec.extras import missing_extras
        from circuitspec.importing import importing

        results: dict[str, ClaimResult] = {}
        refusal = missing_extras("pytest with *.circuit files")
        if refusal is None:
            with importing():
                from circuitspec.model.kept import KeptModels  # torch: seconds
                from circuitspec.report.rows import competence_notes
                from circuitspec.verification import Options, verify

            self._loader = self._loader or KeptModels()
            options = Options(
                only=tuple(item.full_name for item in items),
                device=items[0].device,
                n=self._config.getoption("circuit_n"),
            )
            run, found = verify(items[0].path, options=options, loader=self._loader)
            if run is None:
                refusal = _rendered(found, self._config)
            else:
                results = {f"{h.name}.{c.name}": c for h in run.hypotheses for c in h.claims}
                for hypothesis in run.hypotheses:
                    for note in competence_notes(hypothesis.competence):
                        items[0].warn(CircuitspecWarning(f"{hypothesis.name}: {note}"))
        for item in items:
            found_of = results.get(item.full_name)
            for text in found_of.warnings if found_of else ():
                item.warn(CircuitspecWarning(f"{item.full_name}: {text}"))
            self._results[item.nodeid] = found_of or SpecError(refusal)


_VERIFIER = pytest.StashKey[_Verifier]()
_MARKS = pytest.StashKey[tuple[tuple[str, str], ...]]()


def _cuda() -> bool:
    from circuitspec.extras import missing_extras

    if missing_extras("gpu") is not None:
        return False
    import torch

    return torch.cuda.is_available()


def _rendered(found: tuple[Diagnostic, ...], config: pytest.Config) -> str:
    """Errors as text, with the lines that they point at."""
    from circuitspec.language.diagnostics import Severity
    from circuitspec.language.rendering import render
    from circuitspec.loading import sources_of

    errors = [d for d in found if d.severity is Severity.ERROR]
    terminal = config.get_terminal_writer()
    width, color = terminal.fullwidth, terminal.hasmarkup
    return render(errors, sources_of(errors, {}), width=width, color=color)
