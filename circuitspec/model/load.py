"""Loading a model through TransformerLens: its raw weights, its tokenizer, its provenance."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Span
from circuitspec.model import hooked, hub
from circuitspec.model.architectures import Reading
from circuitspec.model.extract import extract
from circuitspec.model.pinned import content_hash, demand
from circuitspec.model.problems import (
    BAD_CONFIG,
    DAMAGED_WEIGHTS,
    NO_TOKENIZER,
    NO_WEIGHTS,
    UNUSED_WEIGHTS,
    WEIGHTS_DO_NOT_FIT,
    ModelError,
    warning,
)
from circuitspec.model.source import (
    Source,
    find,
    is_hooked,
    parse_config,
    read_config,
    understand,
)
from circuitspec.model.tokenizer import borrowed, directory_files, read_tokenizer
from circuitspec.model.weights import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a result says of its model. `processing` is `none`: raw weights, nothing folded."""

    source: str
    transformer_lens: str
    transformers: str
    torch: str
    dtype: str = "float32"
    processing: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to be computed with.

    `revision` is the commit on the Hub, or `sha256:` and 16 digits over the config and weights of
    a directory. `tokenizer` is a `tokenizers.Tokenizer` (encode with `add_special_tokens=False`),
    None where the model has none; `bos_id` its BOS token. `bridge` is TransformerLens's own model
    on the CPU in float32, for the check that our unmodified forward agrees with its.
    """

    name: str
    revision: str
    shape: ModelShape
    weights: Weights
    tokenizer: Any
    bos_id: int | None
    bridge: TransformerBridge
    provenance: Provenance


def load(
    reference: str,
    revision: str | None = None,
    base_dir: Path | None = None,
    span: Span = NO_SPAN,
) -> tuple[LoadedModel | None, tuple[Diagnostic, ...]]:
    """The model that a spec's `model` line names, float32 on the CPU; None with the errors.

    `reference` is a packaged model, a directory (relative to `base_dir`, the spec's directory) or a
    name on the Hub; `revision` a Hub revision, or the hash that a directory must have. A model
    without tokenizer loads; `tokenizer_of` says why there is none.
    """
    try:
        source = find(reference, base_dir)
        with _quietly():
            if source.kind == "hub":
                return _from_hub(source, revision, span)
            return _from_directory(source, revision, span)
    except ModelError as error:
        return None, (error.diagnostic(span),)


class Loader(Protocol):
    """What loads a model: `load`, or what keeps the models it has loaded (`kept.KeptModels`)."""

    def __call__(
        self,
        reference: str,
        revision: str | None = None,
        base_dir: Path | None = None,
        span: Span = NO_SPAN,
    ) -> tuple[LoadedModel | None, tuple[Diagnostic, ...]]:
        """The model, None with the errors."""


def _from_directory(
    source: Source, revision: str | None, span: Span
) -> tuple[LoadedModel, tuple[Diagnostic, ...]]:
    directory = source.path
    assert directory is not None
    config = read_config(directory)
    reading = understand(config, source.name)
    found: tuple[Diagnostic, ...] = ()
    if is_hooked(config):
        files = [hooked.weight_file(directory)]
        _could_hold(files, reading.shape)
        state = hooked.read_state(files[0])
        bridge = hooked.boot(config, reading, state)
    else:
        files = _weight_files(directory)
        _could_hold(files, reading.shape)
        bridge, reading, found = _boot(str(directory), source.name, None, True, span)
    actual = content_hash([directory / "config.json", *files])
    demand(source, revision, actual)
    return _finish(source, actual, bridge, reading, directory_files(directory), found, span)


def _from_hub(
    source: Source, revision: str | None, span: Span
) -> tuple[LoadedModel, tuple[Diagnostic, ...]]:
    name = source.name
    offline = not hub.reachable()
    revision = hub.full_revision(name, revision, offline)
    file = hub.fetch(name, "config.json", revision, offline, required=True)
    if file is None:
        raise ModelError(BAD_CONFIG, f"{name!r} on huggingface.co has no config.json")
    config = parse_config(file, name)
    # before gigabytes are fetched for a model that cannot be used
    reading = understand(config, name)
    found: tuple[Diagnostic, ...] = ()
    if is_hooked(config):
        state = hooked.read_state(hub.fetch_state(name, revision, offline))
        bridge = hooked.boot(config, reading, state)
    else:
        bridge, reading, found = _boot(name, name, revision, offline, span)
    # snapshots are stored under their commit, which a branch or tag stands for
    commit = file.parent.name if file.parent.parent.name == "snapshots" else revision or "unknown"
    other = borrowed(config)

    def get(file: str) -> Path | None:
        # a tokenizer that is another model's does not have this one's revisions
        return hub.fetch(other or name, file, None if other else revision, offline)

    return _finish(source, commit, bridge, reading, get, found, span)


def _boot(
    place: str, name: str, revision: str | None, offline: bool, span: Span
) -> tuple[TransformerBridge, Reading, tuple[Diagnostic, ...]]:
    """A Hugging Face checkpoint as a bridge, in eager attention and without dropout."""
    try:
        hf, info = transformers.AutoModelForCausalLM.from_pretrained(
            place,
            revision=revision or "main",
            local_files_only=offline,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except (pickle.UnpicklingError, SafetensorError) as error:
        raise ModelError(
            DAMAGED_WEIGHTS,
            f"the weights of {name!r} cannot be read",
            "a file is truncated, or a pickled one holds more than tensors, which is never run",
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        text = str(error).strip()
        raise ModelError(
            WEIGHTS_DO_NOT_FIT if isinstance(error, RuntimeError) else NO_WEIGHTS,
            f"Hugging Face cannot load {name!r}: {text.splitlines()[0] if text else type(error)}",
            "config.json and the weights must belong together",
        ) from error
    missing = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if missing:
        raise ModelError(
            WEIGHTS_DO_NOT_FIT,
            f"the weights of {name!r} lack {len(missing)} parameters that its config asks for,"
            f" {missing[0]} among them",
            "they would be random; check the number of layers and the architecture in config.json",
        )
    found: tuple[Diagnostic, ...] = ()
    if info["unexpected_keys"]:
        extra = sorted(info["unexpected_keys"])
        found = (
            warning(
                UNUSED_WEIGHTS,
                f"{len(extra)} weights of {name!r} have no place in its architecture,"
                f" {extra[0]} among them, and are not used",
                "harmless where they are buffers or another task's head",
                span,
            ),
        )
    reading = understand(hf.config.to_dict(), name)
    bridge = build_bridge_from_module(
        hf.eval(), type(hf).__name__, hf_config=hf.config, tokenizer=None, model_name=name
    )
    return bridge.eval(), reading, found


def _finish(
    source: Source,
    revision: str,
    bridge: TransformerBridge,
    reading: Reading,
    get: Callable[[str], Path | None],
    found: tuple[Diagnostic, ...],
    span: Span,
) -> tuple[LoadedModel, tuple[Diagnostic, ...]]:
    weights = extract(bridge, reading)
    tokenizer, bos_id = None, None
    try:
        own = read_tokenizer(get, source.name)
        tokenizer, bos_id = own.tokenizer, own.bos_id
    except ModelError as error:
        if error.code != NO_TOKENIZER:
            found = (*found, warning(error.code, error.message, error.hint, span))
    model = LoadedModel(
        name=source.name,
        revision=revision,
        shape=reading.shape,
        weights=weights,
        tokenizer=tokenizer,
        bos_id=bos_id,
        bridge=bridge,
        provenance=Provenance(
            source=source.kind,
            transformer_lens=version("transformer_lens"),
            transformers=transformers.__version__,
            torch=torch.__version__,
        ),
    )
    return model, found


def _weight_files(directory: Path) -> list[Path]:
    """The weights of a Hugging Face checkpoint; safetensors are opened to see that they are whole.

    Raises ModelError M005 or M006.
    """
    files = sorted(directory.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise ModelError(
                DAMAGED_WEIGHTS,
                f"the weights in {file.name} cannot be read: {error}",
                "the file is truncated or not safetensors; fetch or save it again",
            ) from error
    # Hugging Face reads these with weights_only, so that nothing in them is run
    files = files or sorted(directory.glob("pytorch_model*.bin"))
    if not files:
        raise ModelError(
            NO_WEIGHTS,
            f"{directory} has a config.json and no weights",
            "a Hugging Face checkpoint holds model.safetensors",
        )
    return files


HARMLESS = 50_000_000
"""Numbers that any machine has memory for: what does not fit is then told more exactly."""


def _could_hold(files: list[Path], shape: ModelShape) -> None:
    """Refuse a config of a far larger model before memory is taken for it. Raises ModelError M007.

    Counts what every architecture stores, at a byte a number: no real checkpoint comes near.
    """
    per_layer = 2 * shape.d_model * shape.d_head * (shape.n_heads + shape.n_kv_heads)
    if shape.has_mlps and shape.d_mlp is not None:
        per_layer += 2 * shape.d_model * shape.d_mlp
    numbers = shape.n_layers * per_layer + shape.d_vocab * shape.d_model
    size = sum(file.stat().st_size for file in files)
    if numbers > max(size, HARMLESS):
        raise ModelError(
            WEIGHTS_DO_NOT_FIT,
            f"config.json describes a model of at least {numbers:,} numbers, and its weights are "
            f"{size:,} bytes",
            "check n_layers and the sizes in config.json",
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Hugging Face's progress bars and advice, which would end up in a report."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
