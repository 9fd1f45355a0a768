"""Word lists: the built-in ones, and files beside a spec, which never lead out of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

MAX_BYTES = 16 * 1024 * 1024
"""Above this a file beside a spec is refused: it is no word list."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file cannot be used, in the user's words, and what to do instead."""

    reason: str
    hint: str


@cache
def built_in_names() -> tuple[str, ...]:
    """Names of the built-in word lists, sorted."""
    folder = Path(__file__).parent.joinpath("words")
    return tuple(
        sorted(f.name.removesuffix(".txt") for f in folder.iterdir() if f.name.endswith(".txt"))
    )


@cache
def built_in(name: str) -> tuple[str, ...] | None:
    """The words of a built-in list, or None where there is no list of that name."""
    if name not in built_in_names():
        return None
    file = Path(__file__).parent.joinpath("words", f"{name}.txt")
    return parse_words(file.read_text(encoding="utf-8"))


def parse_words(text: str) -> tuple[str, ...]:
    """Words one a line; blank lines and lines that begin with `#` are skipped."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def read_beside(base_dir: Path, path: str) -> str | Unreadable:
    """The text of a file in the spec's folder, or why it cannot be had.

    A spec may come from anyone, so a path is relative, has no `..`, and does not lead out of the
    folder through a link either.
    """
    inside = "name a file in the spec's own folder, such as `words/names.txt`"
    if not path.strip() or "\0" in path:
        return Unreadable("no file is named", inside)
    if "://" in path:
        return Unreadable(f"`{path}` is an address, not a file beside the spec", inside)
    windows = PureWindowsPath(path)
    if PurePosixPath(path).is_absolute() or windows.drive or windows.root:
        return Unreadable(f"`{path}` is an absolute path", inside)
    if ".." in windows.parts:
        return Unreadable(f"`{path}` leads out of the spec's folder", inside)
    root = base_dir.resolve()
    target = (root / Path(*windows.parts)).resolve()
    if not target.is_relative_to(root):
        return Unreadable(f"`{path}` is a link that leads out of the spec's folder", inside)
    try:
        if target.stat().st_size > MAX_BYTES:
            return Unreadable(f"`{path}` is larger than 16 MiB", "list fewer words")
        return target.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Unreadable(f"there is no file `{path}` beside the spec", "check its name")
    except UnicodeDecodeError:
        return Unreadable(f"`{path}` is not UTF-8 text", "save it as UTF-8")
    except OSError as error:
        return Unreadable(f"`{path}` cannot be read: {error.strerror}", inside)
