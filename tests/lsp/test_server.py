"""The server as an editor meets it: over standard input and output, by the protocol."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import ClientServerConfig, LanguageClient

from tests.lsp.specs import SPEC, at

COMMAND = [
    sys.executable, "-c", "from circuitspec.cli import main; main()", "lsp", "--stdio",
]  # fmt: skip


@pytest_lsp.fixture(config=ClientServerConfig(server_command=COMMAND))
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:
    await lsp_client.initialize_session(
        types.InitializeParams(capabilities=types.ClientCapabilities())
    )
    yield
    await lsp_client.shutdown_session()


def opened(client: LanguageClient, path: Path, text: str) -> types.TextDocumentIdentifier:
    client.text_document_did_open(
        types.DidOpenTextDocumentParams(
            types.TextDocumentItem(
                uri=path.as_uri(), language_id="circuitspec", version=1, text=text
            )
        )
    )
    return types.TextDocumentIdentifier(uri=path.as_uri())


def position(text: str, offset: int) -> types.Position:
    before = text[:offset]
    line = before[before.rfind("\n") + 1 :]
    return types.Position(line=before.count("\n"), character=len(line.encode("utf-16-le")) // 2)


def applied(text: str, edits: list[types.TextEdit]) -> str:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def offset(place: types.Position) -> int:
        return starts[place.line] + place.character

    for edit in sorted(edits, key=lambda e: -offset(e.range.start)):
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text


@pytest.mark.asyncio
async def test_mistakes_are_published_and_go(client: LanguageClient, tmp_path: Path) -> None:
    wrong = SPEC.replace("edge early -> late.kv", "edge earyl -> late.kv")
    path = tmp_path / "wrong.circuit"
    document = opened(client, path, wrong)
    await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    (found,) = [
        d for d in client.diagnostics[document.uri] if d.severity == types.DiagnosticSeverity.Error
    ]
    assert found.source == "circuitspec"
    assert found.code == "H001"
    assert "earyl" in found.message
    assert "hint: did you mean `early`?" in found.message
    assert (found.range.start.line, found.range.start.character) == (20, 7)
    assert found.range.end.character == 12
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(version=2, uri=document.uri),
            [types.TextDocumentContentChangeWholeDocument(text=SPEC)],
        )
    )
    await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    errors = [
        d for d in client.diagnostics[document.uri] if d.severity == types.DiagnosticSeverity.Error
    ]
    assert errors == []


@pytest.mark.asyncio
async def test_positions_are_utf_16(client: LanguageClient, tmp_path: Path) -> None:
    text = SPEC.replace("  bos no\n", '  bos no # 😀\n    words w = "😀", é\n')
    document = opened(client, tmp_path / "units.circuit", text)
    await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    found = next(d for d in client.diagnostics[document.uri] if "é" in d.message)
    assert found.range.start == position(text, text.index("é"))


@pytest.mark.asyncio
async def test_hover_and_completion(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "spec.circuit", SPEC)
    text, offset = at("edge |early -> late")
    said = await client.text_document_hover_async(
        types.HoverParams(text_document=document, position=position(text, offset))
    )
    assert "a0.h1" in said.contents.value
    assert said.range.end.character - said.range.start.character == len("early")
    text, offset = at("edge ea|rly -> late")
    items = (
        await client.text_document_completion_async(
            types.CompletionParams(text_document=document, position=position(text, offset))
        )
    ).items
    early = next(item for item in items if item.label == "early")
    assert early.text_edit.range.start == position(text, text.index("early -> late"))
    assert early.text_edit.range.end == position(text, offset)


@pytest.mark.asyncio
async def test_definition_and_references(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "spec.circuit", SPEC)
    text, offset = at("used under |paper")
    (place,) = await client.text_document_definition_async(
        types.DefinitionParams(text_document=document, position=position(text, offset))
    )
    assert place.range.start == position(SPEC, SPEC.index("paper { ablate"))
    places = await client.text_document_references_async(
        types.ReferenceParams(
            context=types.ReferenceContext(include_declaration=False),
            text_document=document,
            position=position(text, offset),
        )
    )
    assert [p.range.start.line + 1 for p in places] == [25, 30]


@pytest.mark.asyncio
async def test_a_definition_in_another_file(client: LanguageClient, tmp_path: Path) -> None:
    shared = 'circuitspec 1\nwords fruits = "apple", "pear"\n'
    (tmp_path / "shared.circuit").write_text(shared, encoding="utf-8")
    text = (
        'circuitspec 1\nuse fruits from "shared.circuit"\n'
        'task t {\n  template a "{X}"\n  slot X from fruits\n}\n'
    )
    document = opened(client, tmp_path / "spec.circuit", text)
    place = await client.text_document_definition_async(
        types.DefinitionParams(
            text_document=document, position=position(text, text.rindex("fruits") + 2)
        )
    )
    assert place.uri == (tmp_path / "shared.circuit").as_uri()
    assert place.range.start == position(shared, shared.index("fruits"))
    assert place.range.end == position(shared, shared.index(" = "))


@pytest.mark.asyncio
async def test_renaming(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "spec.circuit", SPEC)
    text, offset = at("edge |early -> late")
    where = position(text, offset)
    prepared = await client.text_document_prepare_rename_async(
        types.PrepareRenameParams(text_document=document, position=where)
    )
    assert prepared.placeholder == "early"
    edit = await client.text_document_rename_async(
        types.RenameParams(text_document=document, position=where, new_name="first")
    )
    renamed = applied(SPEC, edit.changes[document.uri])
    assert renamed == SPEC.replace("early", "first")
    for name, reason in [("late", "already"), ("role", "keyword"), ("a1.h2", "no name")]:
        with pytest.raises(JsonRpcException, match=reason):
            await client.text_document_rename_async(
                types.RenameParams(text_document=document, position=where, new_name=name)
            )


@pytest.mark.asyncio
async def test_a_slot_is_renamed_in_templates_too(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "spec.circuit", SPEC)
    text, offset = at("slot |IO, S1")
    edit = await client.text_document_rename_async(
        types.RenameParams(
            text_document=document, position=position(text, offset), new_name="OBJECT"
        )
    )
    assert applied(SPEC, edit.changes[document.uri]) == SPEC.replace("IO", "OBJECT")


@pytest.mark.asyncio
async def test_formatting(client: LanguageClient, tmp_path: Path) -> None:
    from circuitspec.language.parser import parse
    from circuitspec.language.printer import to_text

    canonical = to_text(parse(SPEC)[0])
    ragged = canonical.replace("  role", "      role")
    options = types.FormattingOptions(tab_size=2, insert_spaces=True)
    document = opened(client, tmp_path / "ragged.circuit", ragged)
    edits = await client.text_document_formatting_async(
        types.DocumentFormattingParams(text_document=document, options=options)
    )
    assert applied(ragged, edits) == canonical
    document = opened(client, tmp_path / "canonical.circuit", canonical)
    edits = await client.text_document_formatting_async(
        types.DocumentFormattingParams(text_document=document, options=options)
    )
    assert list(edits) == []
    document = opened(client, tmp_path / "broken.circuit", "circuitspec 1 role {")
    assert not await client.text_document_formatting_async(
        types.DocumentFormattingParams(text_document=document, options=options)
    )
