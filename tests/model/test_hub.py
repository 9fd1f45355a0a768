"""What the Hub may answer, played by a stand-in: there is no network in a test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import pytest
from huggingface_hub import errors

from circuitspec.model import hub
from circuitspec.model.problems import ModelError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.RepositoryNotFoundError, "M011", "no model 'a/b'"),
        (errors.GatedRepoError, "M011", "only to those"),
        (errors.RevisionNotFoundError, "M012", "no revision 'v9'"),
        (errors.HfHubHTTPError, "M010", "fetching config.json of 'a/b' failed"),
    ],
)
def test_each_refusal_of_the_hub_has_its_words(
    error: Any, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("no", response=Mock(status_code=404, headers={}))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ModelError) as raised:
        hub.fetch("a/b", "config.json", "v9", offline=False)
    assert raised.value.code == code
    assert words in raised.value.message


def test_a_file_that_a_model_does_not_have_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise errors.EntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    assert hub.fetch("a/b", "tokenizer.json", None, offline=False) is None


def test_the_beginning_of_a_commit_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = ["607a30d" + "a" * 33, "607a30e" + "b" * 33, "11aa22b" + "c" * 33]
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "list_repo_commits",
        lambda self, name: [SimpleNamespace(commit_id=commit) for commit in commits],
    )
    assert hub.full_revision("a/b", "607a30d", offline=False) == commits[0]
    for kept in (None, "main", "607a30", "step1000", commits[2], "fffffff"):
        assert hub.full_revision("a/b", kept, offline=False) == kept
    commits.append("607a30d" + "d" * 33)
    assert hub.full_revision("a/b", "607a30d", offline=False) == "607a30d"


def test_the_final_weights_are_chosen_among_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["config.json", "checkpoints/a_final.pth", "SoLU_final.pth", "SoLU_12.pth"]
    fetched: list[str] = []

    def download(name: str, file: str, **_: object) -> str:
        fetched.append(file)
        return file

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "list_repo_files", lambda self, name, revision: listed
    )
    assert hub.fetch_state("a/b", None, offline=False).name == "SoLU_final.pth"
    listed.append("model.safetensors")
    assert hub.fetch_state("a/b", None, offline=False).name == "model.safetensors"
    assert fetched == ["SoLU_final.pth", "model.safetensors"]
    listed[:] = ["config.json"]
    with pytest.raises(ModelError) as raised:
        hub.fetch_state("a/b", None, offline=False)
    assert raised.value.code == "M005"
