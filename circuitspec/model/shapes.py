"""The shape of a model from its config alone, for the commands that load no weights."""

from __future__ import annotations

from pathlib import Path

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Span
from circuitspec.model.hub import cached_file
from circuitspec.model.pinned import demand_light
from circuitspec.model.problems import SHAPE_UNKNOWN, ModelError, warning
from circuitspec.model.source import find, parse_config, read_config, understand


def shape_of(
    reference: str,
    revision: str | None = None,
    base_dir: Path | None = None,
    span: Span = NO_SPAN,
) -> tuple[ModelShape | None, tuple[Diagnostic, ...]]:
    """The shape of a model of the zoo, of a directory, of the Hugging Face cache, or well known.

    Neither network nor torch. For another Hub model: None and the warning M016, since it may well
    exist; for a model that cannot be used, None and the error.
    """
    try:
        source = find(reference, base_dir)
        if source.path is not None:
            demand_light(source, revision)
            return understand(read_config(source.path), reference).shape, ()
        file = cached_file(source.name, "config.json", revision)
        if file is not None:
            return understand(parse_config(file, source.name), source.name).shape, ()
    except ModelError as error:
        return None, (error.diagnostic(span),)
    known = _WELL_KNOWN.get(source.name.removeprefix("openai-community/"))
    if known is not None:
        return known, ()
    return None, (
        warning(
            SHAPE_UNKNOWN,
            f"the shape of {reference!r} is not known without fetching it, so that layers and heads"
            " are not checked against it",
            "`verify` fetches the model; afterwards `check` knows its shape",
            span,
        ),
    )


def _gpt2(n_layers: int, n_heads: int, d_model: int) -> ModelShape:
    return ModelShape(
        architecture="gpt2",
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_model=d_model,
        d_head=d_model // n_heads,
        d_mlp=4 * d_model,
        d_vocab=50257,
        d_vocab_out=50257,
        n_ctx=1024,
    )


def _gpt_neo(n_layers: int, n_heads: int, d_model: int) -> ModelShape:
    return ModelShape(
        architecture="gpt_neo",
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_model=d_model,
        d_head=d_model // n_heads,
        d_mlp=4 * d_model,
        d_vocab=50257,
        d_vocab_out=50257,
        n_ctx=2048,
    )


def _pythia(n_layers: int, n_heads: int, d_model: int, d_vocab: int = 50304) -> ModelShape:
    return ModelShape(
        architecture="gpt_neox",
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_model=d_model,
        d_head=d_model // n_heads,
        d_mlp=4 * d_model,
        d_vocab=d_vocab,
        d_vocab_out=d_vocab,
        n_ctx=2048,
        parallel=True,
        positional="rotary",
    )


def _attention_only(n_layers: int) -> ModelShape:
    return ModelShape(
        architecture="native",
        n_layers=n_layers,
        n_heads=8,
        n_kv_heads=8,
        d_model=512,
        d_head=64,
        d_mlp=None,
        d_vocab=48262,
        d_vocab_out=48262,
        n_ctx=1024,
        has_mlps=False,
    )


_PYTHIA = {
    "70m": _pythia(6, 8, 512),
    "160m": _pythia(12, 12, 768),
    "410m": _pythia(24, 16, 1024),
    "1b": _pythia(16, 8, 2048),
    "1.4b": _pythia(24, 16, 2048),
    "2.8b": _pythia(32, 32, 2560),
}
_CRFM_RUNS = (
    "alias-gpt2-small-x21",
    "battlestar-gpt2-small-x49",
    "caprica-gpt2-small-x81",
    "darkmatter-gpt2-small-x343",
    "expanse-gpt2-small-x777",
)

# From the models' own config.json; a cached or local config always goes before this table.
_WELL_KNOWN: dict[str, ModelShape] = {
    "distilgpt2": _gpt2(6, 12, 768),
    "gpt2": _gpt2(12, 12, 768),
    "gpt2-medium": _gpt2(24, 16, 1024),
    "gpt2-large": _gpt2(36, 20, 1280),
    "gpt2-xl": _gpt2(48, 25, 1600),
    **{f"stanford-crfm/{run}": _gpt2(12, 12, 768) for run in _CRFM_RUNS},
    "EleutherAI/gpt-neo-125m": _gpt_neo(12, 12, 768),
    "EleutherAI/gpt-neo-125M": _gpt_neo(12, 12, 768),
    "EleutherAI/gpt-neo-1.3B": _gpt_neo(24, 16, 2048),
    "EleutherAI/gpt-neo-2.7B": _gpt_neo(32, 20, 2560),
    **{f"NeelNanda/Attn_Only_{n}L512W_C4_Code": _attention_only(n) for n in (1, 2, 3, 4)},
    **{f"EleutherAI/pythia-{size}": shape for size, shape in _PYTHIA.items()},
    **{f"EleutherAI/pythia-{size}-deduped": shape for size, shape in _PYTHIA.items()},
}
