"""The hash that pins a packaged model or a directory, and whether a spec's revision is it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from circuitspec.model.problems import WRONG_REVISION, ModelError
from circuitspec.model.source import Source

_HASH = re.compile(r"sha256:[0-9a-f]{16}")


def content_hash(files: Iterable[Path]) -> str:
    """`sha256:` and 16 digits over files, in order: a model's config.json, then its weights."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def demand(source: Source, revision: str | None, actual: str) -> None:
    """Raise ModelError M012 where a spec was written for other content than `actual`."""
    if revision is not None and revision != actual:
        raise ModelError(
            WRONG_REVISION,
            f"{source.name!r} is {actual}, and the spec was written for {revision}",
            "its config or weights changed; a packaged model or a directory is pinned by that hash",
        )


def demand_light(source: Source, revision: str | None) -> None:
    """The same as far as it is cheap: packaged models are small; of a directory the hash's form.

    The weights of a directory may take minutes to read, which is for the commands that load them.
    """
    if revision is None or source.path is None:
        return
    if source.kind == "zoo":
        files = (source.path / "config.json", source.path / "model.safetensors")
        demand(source, revision, content_hash(files))
    elif not _HASH.fullmatch(revision):
        raise ModelError(
            WRONG_REVISION,
            f"{source.name!r} is a directory and has no revision {revision!r}",
            "a directory is pinned by a hash, `sha256:` and 16 digits, which `verify` prints",
        )
