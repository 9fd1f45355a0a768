"""Hugging Face's Hub: the local cache, and whether the network answers, asked quickly."""

from __future__ import annotations

import os
import re
from pathlib import Path

from circuitspec.model.problems import (
    NO_NETWORK,
    NO_WEIGHTS,
    NOT_ON_HUB,
    WRONG_REVISION,
    ModelError,
)

_SHORT_COMMIT = re.compile("[0-9a-f]{7,40}")
_PATIENCE = 5.0  # seconds to wait for the Hub's first answer


def cached_file(name: str, file: str, revision: str | None = None) -> Path | None:
    """A file of Hub model `name` that an earlier run fetched; None where there is none.

    Looks into the cache's folders itself: importing huggingface_hub takes longer than `check` may.
    A revision is a branch, a tag, or a commit, seven digits or more of it.
    """
    folder = _folder(name)
    revision = revision or "main"
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = _only(revision, [path.name for path in folder.glob("snapshots/*")]) or revision
    found = folder / "snapshots" / commit / file
    return found if found.is_file() else None


def _folder(name: str) -> Path:
    return _cache() / f"models--{name.replace('/', '--')}"


def _only(revision: str, commits: list[str]) -> str | None:
    """The one of `commits` that begins with `revision`, if that is the beginning of a commit."""
    if not _SHORT_COMMIT.fullmatch(revision):
        return None
    matching = [commit for commit in commits if commit.startswith(revision)]
    return matching[0] if len(matching) == 1 else None


def _cache() -> Path:
    """Where huggingface_hub keeps what it fetched, by the variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"]).expanduser() / "hub"
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "huggingface" / "hub"


def reachable() -> bool:
    """Whether the Hub answers at all, within seconds (its own client retries for half a minute)."""
    # 10 ms that the commands without network need not pay
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, even if not a kind one
    except (OSError, ValueError):
        return False


def full_revision(name: str, revision: str | None, offline: bool) -> str | None:
    """`revision`, spelled out where it is the beginning of a commit, as the Hub itself demands."""
    if revision is None or not _SHORT_COMMIT.fullmatch(revision) or len(revision) == 40:
        return revision
    if offline:
        commits = [path.name for path in _folder(name).glob("snapshots/*")]
    else:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            commits = [commit.commit_id for commit in HfApi().list_repo_commits(name)]
        except (HfHubHTTPError, OSError):
            return revision  # fetching config.json will say what is wrong
    return _only(revision, commits) or revision


def fetch(
    name: str, file: str, revision: str | None, offline: bool, required: bool = False
) -> Path | None:
    """A file of Hub model `name`, from the cache or the network; None where the model has none.

    Offline nobody knows whether the model has it: that is None too, or M010 if `required`. Raises
    ModelError: M010 without network, M011 for an unknown or closed model, M012 for an unknown
    revision.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(name, file, revision=revision, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        if offline and not required:
            return None
        raise ModelError(
            NO_NETWORK,
            f"{name!r} is not on this machine and huggingface.co does not answer",
            "a directory of that name would be looked up beside the spec; there is none either",
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            NOT_ON_HUB,
            f"{name!r} is a model that huggingface.co gives only to those it let in",
            "accept its terms there, and log in with `hf auth login`",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            NOT_ON_HUB, f"huggingface.co has no model {name!r}", "check its spelling"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(WRONG_REVISION, f"{name!r} has no revision {revision!r}") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(NO_NETWORK, f"fetching {file} of {name!r} failed: {error}") from error


def fetch_state(name: str, revision: str | None, offline: bool) -> Path:
    """The one state dict of a HookedTransformer repository: its final one, not a checkpoint's.

    Raises ModelError as `fetch` does, and M005 where there is none or no telling which.
    """
    stored = (".safetensors", ".pt", ".pth")
    top = [f for f in _names(name, revision, offline) if "/" not in f and f.endswith(stored)]
    chosen = [f for f in top if f.endswith(".safetensors")] or top
    if len(chosen) > 1:
        chosen = [f for f in chosen if "final" in f]
    file = fetch(name, chosen[0], revision, offline, required=True) if len(chosen) == 1 else None
    if file is None:
        there = f" ({', '.join(sorted(top))})" if top else ""
        raise ModelError(NO_WEIGHTS, f"{name!r} has no one file of final weights{there}")
    return file


def _names(name: str, revision: str | None, offline: bool) -> list[str]:
    """The files of a Hub model, by their paths in it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if offline:
        config = cached_file(name, "config.json", revision)
        return [file.name for file in config.parent.iterdir()] if config is not None else []
    try:
        return list(HfApi().list_repo_files(name, revision=revision))
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(NO_NETWORK, f"the files of {name!r} cannot be listed: {error}") from error
