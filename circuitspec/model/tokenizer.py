"""A model's tokenizer without the model: read from files, with neither torch nor network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Span
from circuitspec.model.architectures import Config
from circuitspec.model.hub import cached_file
from circuitspec.model.problems import BAD_TOKENIZER, NO_TOKENIZER, ModelError
from circuitspec.model.source import find, is_hooked, parse_config


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTokenizer:
    """A `tokenizers.Tokenizer` with the id of its BOS token, None where the model has none.

    Encode with `add_special_tokens=False`: whether BOS is there is the spec's to say.
    """

    tokenizer: Any
    bos_id: int | None


def tokenizer_of(
    reference: str,
    revision: str | None = None,
    base_dir: Path | None = None,
    span: Span = NO_SPAN,
) -> tuple[ModelTokenizer | None, tuple[Diagnostic, ...]]:
    """The tokenizer of a model of the zoo, of a directory, or of the local Hugging Face cache.

    None with the reason where there is none; for a Hub model not in the cache that is M013, and
    loading the model will fetch it.
    """
    try:
        source = find(reference, base_dir)
        if source.path is not None:
            return read_tokenizer(directory_files(source.path), reference), ()
        return read_tokenizer(_cached_files(source.name, revision), source.name), ()
    except ModelError as error:
        return None, (error.diagnostic(span),)


def _cached_files(name: str, revision: str | None) -> Callable[[str], Path | None]:
    """The cached files of a Hub model, or of the model whose tokenizer its config says it uses."""
    config = cached_file(name, "config.json", revision)
    other = borrowed(parse_config(config, name)) if config is not None else None
    if other is not None:
        return lambda file: cached_file(other, file)
    return lambda file: cached_file(name, file, revision)


def borrowed(config: Config) -> str | None:
    """The Hub model whose tokenizer a HookedTransformer config names."""
    name = config.get("tokenizer_name") if is_hooked(config) else None
    return name if isinstance(name, str) else None


def directory_files(directory: Path) -> Callable[[str], Path | None]:
    """Files of a directory by name, None where there is none."""

    def get(name: str) -> Path | None:
        file = directory / name
        return file if file.is_file() else None

    return get


def read_tokenizer(get: Callable[[str], Path | None], owner: str) -> ModelTokenizer:
    """The tokenizer whose files `get` finds: tokenizer.json, or GPT-2's vocab.json and merges.txt.

    Raises ModelError M013 (none there) or M014 (damaged).
    """
    whole, vocabulary, merges = get("tokenizer.json"), get("vocab.json"), get("merges.txt")
    if whole is None and (vocabulary is None or merges is None):
        raise ModelError(
            NO_TOKENIZER,
            f"no tokenizer of {owner!r} is to be found on this machine",
            "a task with text needs tokenizer.json beside the weights; a task over token ids says"
            " `tokens integer A..B`",
        )
    # 0.05 s that only text tasks need
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    try:
        if whole is not None:
            tokenizer = Tokenizer.from_file(str(whole))
        else:
            tokenizer = Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
            tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
            tokenizer.decoder = ByteLevelDecoder()
    except Exception as error:
        # the tokenizers library raises Exception itself, nothing narrower, for a damaged file
        if type(error) is not Exception:
            raise
        raise ModelError(
            BAD_TOKENIZER, f"the tokenizer of {owner!r} cannot be read: {error}"
        ) from error
    return ModelTokenizer(tokenizer=tokenizer, bos_id=_bos_id(get, owner, tokenizer))


def _bos_id(get: Callable[[str], Path | None], owner: str, tokenizer: Any) -> int | None:
    """The BOS token: named in tokenizer_config.json, else the id in config.json."""
    file = get("tokenizer_config.json")
    if file is not None:
        try:
            token = json.loads(file.read_text(encoding="utf-8")).get("bos_token")
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(
                BAD_TOKENIZER, f"the tokenizer_config.json of {owner!r} cannot be read: {error}"
            ) from error
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str):
            found: int | None = tokenizer.token_to_id(token)
            return found
    file = get("config.json")
    if file is None:
        return None
    named = parse_config(file, owner).get("bos_token_id")
    return named if isinstance(named, int) and not isinstance(named, bool) else None
