"""Where a model is: from the text of a spec's `model` line to a directory, the zoo or the Hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from circuitspec.model.architectures import Config, Reading, architectures, native
from circuitspec.model.problems import (
    BAD_CONFIG,
    NO_SUCH_MODEL,
    UNKNOWN_ARCHITECTURE,
    ModelError,
)

# "gpt2" or "EleutherAI/pythia-70m": what huggingface.co accepts as a name
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?")

# TransformerLens's names for models that papers on circuits use
_ALIASES = {
    "gpt2-small": "gpt2",
    "gpt-neo-125M": "EleutherAI/gpt-neo-125M",
    "gpt-neo-125m": "EleutherAI/gpt-neo-125m",
    "pythia-70m": "EleutherAI/pythia-70m",
    "pythia-160m": "EleutherAI/pythia-160m",
    "pythia-410m": "EleutherAI/pythia-410m",
    "attn-only-1l": "NeelNanda/Attn_Only_1L512W_C4_Code",
    "attn-only-2l": "NeelNanda/Attn_Only_2L512W_C4_Code",
    "attn-only-3l": "NeelNanda/Attn_Only_3L512W_C4_Code",
    "attn-only-4l": "NeelNanda/Attn_Only_4L512W_C4_Code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model's place. `path` is its directory, None for the Hub, whose `name` has no alias.

    `zoo`: packaged with circuitspec; `directory`: a Hugging Face checkpoint; `hooked`: config.json
    and a state dict in HookedTransformer's layout; `hub`: a name on huggingface.co.
    """

    kind: Literal["zoo", "directory", "hooked", "hub"]
    name: str
    path: Path | None = None


def zoo() -> tuple[str, ...]:
    """The names of the models packaged with circuitspec."""
    root = Path(__file__).parent / "zoo"
    return tuple(sorted(entry.parent.name for entry in root.glob("*/config.json")))


def find(reference: str, base_dir: Path | None = None) -> Source:
    """What `reference` names: the zoo first, then a directory, then the Hub.

    Relative paths start at `base_dir`, the directory of the spec file (default: the current one).
    Nothing is fetched; a Hub name is only recognised. Raises ModelError M001 or M002.
    """
    if not reference:
        raise ModelError(
            NO_SUCH_MODEL,
            "the model has no name",
            f"write a directory, the name of a packaged model ({', '.join(zoo())}) or a name on"
            " huggingface.co",
        )
    if reference in zoo():
        path = Path(__file__).parent / "zoo" / reference
        return Source(kind="zoo", name=reference, path=path)
    try:
        path = (base_dir or Path()) / Path(reference).expanduser()
        is_directory, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # names that no file system takes
        raise ModelError(NO_SUCH_MODEL, f"{reference!r} cannot be a path: {error}") from error
    if is_directory:
        hooked = is_hooked(read_config(path))
        return Source(kind="hooked" if hooked else "directory", name=reference, path=path)
    if exists:
        raise ModelError(
            NO_SUCH_MODEL,
            f"{reference!r} is a file",
            "name the directory that holds config.json and the weights",
        )
    near = _misspelt(reference)
    if near is not None:
        raise ModelError(
            NO_SUCH_MODEL,
            f"there is no model {reference!r}",
            f"did you mean the packaged model {near!r}?",
        )
    if _HUB_NAME.fullmatch(reference):
        return Source(kind="hub", name=_ALIASES.get(reference, reference))
    raise ModelError(
        NO_SUCH_MODEL,
        f"there is no directory {reference!r}"
        + (f" beside the spec ({base_dir})" if base_dir else ""),
        f"write a directory, the name of a packaged model ({', '.join(zoo())}) or a name on"
        " huggingface.co",
    )


def _misspelt(reference: str) -> str | None:
    """The packaged model that is nearly named, if any; the Hub has no such name without owner."""
    if "/" in reference or reference in _ALIASES:
        return None
    letters = re.sub(r"[^a-z0-9]", "", reference.lower())
    alike = {re.sub(r"[^a-z0-9]", "", name): name for name in zoo()}
    alike = {near: name for near, name in alike.items() if abs(len(near) - len(letters)) < 3}
    if not alike:
        return None
    from difflib import get_close_matches  # only what looks like a mistake pays for importing it

    found = get_close_matches(letters, alike, n=1, cutoff=0.85)
    return alike[found[0]] if found else None


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint directory. Raises ModelError M002."""
    return parse_config(directory / "config.json", f"{directory}")


def parse_config(file: Path, owner: str) -> dict[str, Any]:
    """A config file of the model `owner`. Raises ModelError M002."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            BAD_CONFIG,
            f"{owner} has no config.json",
            "a model directory holds config.json and model.safetensors",
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(
            BAD_CONFIG, f"the config.json of {owner} cannot be read: {error}"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(BAD_CONFIG, f"the config.json of {owner} is not an object")
    return config


def is_hooked(config: Config) -> bool:
    """Whether a config is HookedTransformer's rather than Hugging Face's."""
    return "model_type" not in config and "n_layers" in config and "d_model" in config


def understand(config: Config, owner: str) -> Reading:
    """The reading of a config, of either layout. Raises ModelError M002, M003 or M004."""
    if is_hooked(config):
        return native.read(config)
    kind = config.get("model_type")
    if kind is None:
        raise ModelError(
            BAD_CONFIG,
            f"the config.json of {owner} is neither Hugging Face's (no model_type) nor"
            " HookedTransformer's (no n_layers and d_model)",
        )
    readers = architectures()
    if kind not in readers:
        raise ModelError(
            UNKNOWN_ARCHITECTURE,
            f"{owner} is a {kind!r} model, an architecture that circuitspec does not compute",
            "architectures it computes: " + ", ".join((*readers, "HookedTransformer toy models")),
        )
    return readers[kind](config)
