"""What stands outside hypotheses: words, tasks and protocols of a file and of those it uses.

`use` reads files of the spec's folder and those of the packaged library, and nothing else: no
absolute path, no way up out of the folder (symbolic links included), no address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from circuitspec.hypothesis.members import UNKNOWN, duplicate
from circuitspec.hypothesis.report import Report, listing
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Severity
from circuitspec.language.syntax import SpecFile

OUTSIDE = "H003"
UNREADABLE = "H033"

PACKAGED = "circuitspec/"
"""What paths into the packaged library begin with."""
LIBRARY = Path(__file__).parent.parent / "library"

Declared = syntax.Words | syntax.Task | syntax.Protocol | syntax.Hypothesis


@dataclass(slots=True, kw_only=True)
class Library:
    """Names that a file's hypotheses can use, its own and those of the files it uses."""

    words: dict[str, syntax.Words] = field(default_factory=dict)
    tasks: dict[str, syntax.Task] = field(default_factory=dict)
    protocols: dict[str, syntax.Protocol] = field(default_factory=dict)
    hypotheses: dict[str, syntax.Hypothesis] = field(default_factory=dict)
    roles: dict[str, syntax.Role] = field(default_factory=dict)
    """Roles that `use` names: every hypothesis of the file that declares no namesake has them."""
    own: tuple[syntax.Hypothesis, ...] = ()

    def everything(self) -> Iterator[tuple[str, Declared]]:
        """Every declaration under its name."""
        for table in (self.words, self.tasks, self.protocols, self.hypotheses):
            yield from table.items()


def library(spec: SpecFile, base_dir: Path, report: Report) -> Library:
    """A file's names with those it uses; its own take precedence and must be declared once."""
    return _library(spec, base_dir.resolve(), base_dir.resolve(), report, ())


def _library(
    spec: SpecFile, root: Path, folder: Path, report: Report, reading: tuple[Path, ...]
) -> Library:
    found = Library()
    names: dict[tuple[type, str], syntax.Name] = {}
    for statement in spec.statements:
        if isinstance(statement, syntax.Use):
            continue
        key = (type(statement), statement.name.text)
        if key in names:
            kind = type(statement).__name__.lower()
            duplicate(statement.name, names[key], kind, report)
            continue
        names[key] = statement.name
        _add(found, statement)
    found.own = tuple(found.hypotheses.values())
    for statement in spec.statements:
        if isinstance(statement, syntax.Use):
            _use(statement, found, root, folder, report, reading)
    if found.roles:
        found.own = tuple(_with_roles(h, found.roles) for h in found.own)
        found.hypotheses |= {h.name.text: h for h in found.own}
    return found


def _with_roles(hypothesis: syntax.Hypothesis, roles: dict[str, syntax.Role]) -> syntax.Hypothesis:
    """A hypothesis with the used roles it does not declare; a refinement inherits its parent's."""
    if hypothesis.refines is not None:
        return hypothesis
    own = {s.name.text for s in hypothesis.statements if isinstance(s, syntax.Role)}
    added = tuple(role for name, role in roles.items() if name not in own)
    return replace(hypothesis, statements=(*added, *hypothesis.statements))


def _roles(hypotheses: Iterator[syntax.Hypothesis]) -> dict[str, syntax.Role]:
    """The roles of a used file by name; where rivals share a name, the first one's."""
    found: dict[str, syntax.Role] = {}
    for hypothesis in hypotheses:
        for statement in hypothesis.statements:
            if isinstance(statement, syntax.Role):
                found.setdefault(statement.name.text, statement)
    return found


def _add(found: Library, declared: Declared) -> None:
    match declared:
        case syntax.Words():
            found.words.setdefault(declared.name.text, declared)
        case syntax.Task():
            found.tasks.setdefault(declared.name.text, declared)
        case syntax.Protocol():
            found.protocols.setdefault(declared.name.text, declared)
        case syntax.Hypothesis():
            found.hypotheses.setdefault(declared.name.text, declared)


def confined(path: str, folder: Path, root: Path) -> Path | None:
    """The file a path names, or None if it lies outside the spec's folder or is no path at all."""
    foreign = "://" in path or "\\" in path or "\0" in path or PureWindowsPath(path).drive
    if not path or foreign or PurePosixPath(path).is_absolute():
        return None
    target = (folder / path).resolve()
    return target if target.is_relative_to(root) else None


def _use(
    use: syntax.Use,
    found: Library,
    root: Path,
    folder: Path,
    report: Report,
    reading: tuple[Path, ...],
) -> None:
    path = use.path.value
    if path.startswith(PACKAGED):
        root = folder = LIBRARY
        path = path.removeprefix(PACKAGED)
    target = confined(path, folder, root)
    if target is None:
        report.error(
            OUTSIDE,
            f"`{use.path.value}` does not lie in the spec's folder",
            use.path.span,
            hint="`use` reads files beside the spec or below it, and `circuitspec/...` of the "
            "package: copy the file there",
        )
        return
    if target in reading:
        report.error(
            UNREADABLE,
            f"`{use.path.value}` uses this file in turn",
            use.path.span,
            hint="move what both need into a third file",
        )
        return
    from circuitspec.language.parser import parse_file

    if not target.is_file():
        report.error(
            UNREADABLE,
            f"there is no file `{use.path.value}`",
            use.path.span,
            hint=f"the package has {listing(PACKAGED + f.name for f in LIBRARY.glob('*.circuit'))}"
            if root == LIBRARY
            else "the path is taken from the folder of the file that says `use`",
        )
        return
    spec, mistakes = parse_file(target)
    wrong = [d for d in mistakes if d.severity is Severity.ERROR]
    for diagnostic in mistakes:
        report.add(diagnostic)
    inner = _library(spec, root, target.parent, report, (*reading, target))
    inside = target.parent.relative_to(root)
    offered = {name: _moved(declared, inside) for name, declared in inner.everything()}
    roles = _roles(iter(inner.hypotheses.values()))
    if not use.names:
        for declared in offered.values():
            _add(found, declared)
        return
    for name in use.names:
        if name.text in offered:
            _add(found, offered[name.text])
        elif name.text in roles:
            found.roles.setdefault(name.text, roles[name.text])
        elif not wrong:
            names = (*offered, *roles)
            report.unknown(UNKNOWN, f"name of `{use.path.value}`", name.text, name.span, names)


def _moved(declared: Declared, inside: Path) -> Declared:
    """A declaration whose paths are told from the spec's folder instead of its own file's."""
    if inside == Path("."):
        return declared
    match declared:
        case syntax.Words(source=syntax.WordsFile() as source):
            return replace(declared, source=_moved_file(source, inside))
        case syntax.Task():
            return _moved_task(declared, inside)
        case syntax.Hypothesis(statements=statements):
            moved = (
                _moved_task(s, inside) if isinstance(s, syntax.Task) else s for s in statements
            )
            return replace(declared, statements=tuple(moved))
        case _:
            return declared


def _moved_task(task: syntax.Task, inside: Path) -> syntax.Task:
    if task.statements is None:
        return task
    return replace(task, statements=tuple(_moved_in(s, inside) for s in task.statements))


def _moved_in(statement: syntax.TaskStatement, inside: Path) -> syntax.TaskStatement:
    match statement:
        case syntax.Slot(source=syntax.WordsFile() as source):
            return replace(statement, source=_moved_file(source, inside))
        case syntax.Words(source=syntax.WordsFile() as source):
            return replace(statement, source=_moved_file(source, inside))
        case syntax.PromptsFile(path=path):
            return replace(statement, path=_moved_text(path, inside))
        case _:
            return statement


def _moved_file(source: syntax.WordsFile, inside: Path) -> syntax.WordsFile:
    return replace(source, path=_moved_text(source.path, inside))


def _moved_text(path: syntax.Text, inside: Path) -> syntax.Text:
    # A path that leaves the folder stays as it is, for the reader of the file to refuse.
    if PurePosixPath(path.value).is_absolute() or "://" in path.value:
        return path
    return replace(path, value=(PurePosixPath(inside.as_posix()) / path.value).as_posix())
