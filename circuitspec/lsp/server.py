"""`circuitspec lsp`: the protocol and nothing else; the checker's passes have the answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from circuitspec import __version__
from circuitspec.language.diagnostics import has_errors
from circuitspec.language.lexer import tokenize
from circuitspec.language.names import node_named
from circuitspec.language.parser import parse, read
from circuitspec.language.printer import to_text
from circuitspec.language.tables import tables
from circuitspec.loading import load_spec
from circuitspec.lsp.completion import complete
from circuitspec.lsp.convert import Text, diagnostic_of
from circuitspec.lsp.documents import Document, document, imported
from circuitspec.lsp.hover import hover
from circuitspec.lsp.symbols import Occurrence

PAUSE_S = 0.25
"""How long the typing must rest before a text is checked."""

KINDS = {
    "keyword": types.CompletionItemKind.Keyword,
    "name": types.CompletionItemKind.Variable,
    "function": types.CompletionItemKind.Function,
    "channel": types.CompletionItemKind.Field,
}


class SpecServer(LanguageServer):
    """A language server with its open files, each analysed once for a version of its text."""

    def __init__(self) -> None:
        super().__init__("circuitspec", __version__)
        self.analysed: dict[str, tuple[str, Document]] = {}

    def document(self, uri: str) -> tuple[Document, Text]:
        """An open file as it is now."""
        source = self.workspace.get_text_document(uri).source
        known = self.analysed.get(uri)
        if known is None or known[0] != source:
            known = (source, document(path_of(uri), source))
            self.analysed[uri] = known
        return known[1], Text(source)

    async def check(self, uri: str, pause: float) -> None:
        """Publish what is wrong with a file, unless it changes while this waits or works."""
        before = self.workspace.get_text_document(uri)
        version, source, path = before.version, before.source, path_of(uri)
        await asyncio.sleep(pause)
        if self.workspace.get_text_document(uri).version != version:
            return
        loaded = await asyncio.to_thread(load_spec, path, text=source, prompts="few")
        if self.workspace.get_text_document(uri).version != version:
            return
        text = Text(source)
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(
                uri=uri,
                version=version,
                diagnostics=[diagnostic_of(d, text, path, uri) for d in loaded.diagnostics],
            )
        )


def path_of(uri: str) -> str:
    """The path of a document; one that is not on disk yet is named by its address."""
    return to_fs_path(uri) or uri


def make_server() -> SpecServer:
    """A server with all features registered."""
    server = SpecServer()
    server.feature(types.TEXT_DOCUMENT_DID_OPEN)(did_open)
    server.feature(types.TEXT_DOCUMENT_DID_CHANGE)(did_change)
    server.feature(types.TEXT_DOCUMENT_DID_SAVE)(did_save)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(did_close)
    server.feature(types.TEXT_DOCUMENT_HOVER)(on_hover)
    server.feature(
        types.TEXT_DOCUMENT_COMPLETION,
        types.CompletionOptions(trigger_characters=[".", "@", "{", "("]),
    )(on_completion)
    server.feature(types.TEXT_DOCUMENT_DEFINITION)(on_definition)
    server.feature(types.TEXT_DOCUMENT_REFERENCES)(on_references)
    server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))(
        on_rename
    )
    server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)(on_prepare_rename)
    server.feature(types.TEXT_DOCUMENT_FORMATTING)(on_formatting)
    return server


# ── what is open ─────────────────────────────────────────────────────────────────────────────────


async def did_open(server: SpecServer, params: types.DidOpenTextDocumentParams) -> None:
    """Check a file as soon as it is open."""
    await server.check(params.text_document.uri, 0.0)


async def did_change(server: SpecServer, params: types.DidChangeTextDocumentParams) -> None:
    """Check a file once its author stops typing."""
    await server.check(params.text_document.uri, PAUSE_S)


async def did_save(server: SpecServer, params: types.DidSaveTextDocumentParams) -> None:
    """Check again: a file that this one uses may have changed."""
    await server.check(params.text_document.uri, 0.0)


def did_close(server: SpecServer, params: types.DidCloseTextDocumentParams) -> None:
    """Forget a file, and what was said of it."""
    uri = params.text_document.uri
    server.analysed.pop(uri, None)
    server.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(uri=uri, diagnostics=[])
    )


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


def on_hover(server: SpecServer, params: types.HoverParams) -> types.Hover | None:
    """What the word under the pointer means."""
    doc, text = server.document(params.text_document.uri)
    found = hover(doc, text.offset_of(params.position))
    if found is None:
        return None
    said, span = found
    content = types.MarkupContent(kind=types.MarkupKind.Markdown, value=said)
    return types.Hover(contents=content, range=text.range_of(span))


def on_completion(server: SpecServer, params: types.CompletionParams) -> types.CompletionList:
    """What could be written here."""
    doc, text = server.document(params.text_document.uri)
    offset = text.offset_of(params.position)
    items = []
    for n, item in enumerate(complete(doc, offset)):
        begins = types.Position(
            line=params.position.line, character=params.position.character - (offset - item.start)
        )
        items.append(
            types.CompletionItem(
                label=item.text,
                kind=KINDS[item.sort],
                detail=item.detail or None,
                documentation=item.doc or None,
                sort_text=f"{n:04d}",
                text_edit=types.TextEdit(
                    range=types.Range(start=begins, end=params.position), new_text=item.text
                ),
            )
        )
    return types.CompletionList(is_incomplete=False, items=items)


def on_definition(
    server: SpecServer, params: types.DefinitionParams
) -> types.Location | list[types.Location] | None:
    """Where the name under the cursor is declared, in this file or in one that it uses."""
    uri = params.text_document.uri
    doc, text = server.document(uri)
    offset = text.offset_of(params.position)
    occurrence = doc.index.at(offset)
    if occurrence is not None:
        places = doc.index.declarations(occurrence.symbol)
        return [types.Location(uri=uri, range=text.range_of(o.span)) for o in places]
    unknown = doc.index.unresolved_at(offset)
    span = imported(doc, unknown.name, unknown.kinds) if unknown is not None else None
    if span is None:
        return None
    other = Text(read(span.file)[0])
    there = from_fs_path(str(Path(span.file)))
    return None if there is None else types.Location(uri=there, range=other.range_of(span))


def on_references(server: SpecServer, params: types.ReferenceParams) -> list[types.Location] | None:
    """Everywhere that the name under the cursor is used."""
    doc, text = server.document(params.text_document.uri)
    occurrence = doc.index.at(text.offset_of(params.position))
    if occurrence is None:
        return None
    return [
        types.Location(uri=params.text_document.uri, range=text.range_of(o.span))
        for o in doc.index.of(occurrence.symbol)
        if params.context.include_declaration or not o.declares
    ]


def on_prepare_rename(
    server: SpecServer, params: types.PrepareRenameParams
) -> types.PrepareRenamePlaceholder | None:
    """Whether the word under the cursor is a name of this file, and which."""
    doc, text = server.document(params.text_document.uri)
    occurrence = _renamed(doc, text.offset_of(params.position))
    if occurrence is None:
        return None
    return types.PrepareRenamePlaceholder(
        range=text.range_of(occurrence.span), placeholder=occurrence.symbol.name
    )


def on_rename(server: SpecServer, params: types.RenameParams) -> types.WorkspaceEdit | None:
    """The name under the cursor, everywhere in this file, as another."""
    doc, text = server.document(params.text_document.uri)
    occurrence = _renamed(doc, text.offset_of(params.position))
    if occurrence is None:
        return None
    problem = name_problem(params.new_name)
    kind = occurrence.symbol.kind
    taken = any(
        o.symbol.name == params.new_name
        and (o.symbol.kind, o.symbol.scope) == (kind, occurrence.symbol.scope)
        for o in doc.index.occurrences
    )
    if problem is None and taken and params.new_name != occurrence.symbol.name:
        problem = f"there is a {kind} `{params.new_name}` already"
    if problem is not None:
        raise JsonRpcInvalidParams(message=problem)
    edits = [
        types.TextEdit(range=text.range_of(o.span), new_text=params.new_name)
        for o in doc.index.of(occurrence.symbol)
    ]
    return types.WorkspaceEdit(changes={params.text_document.uri: edits})


def on_formatting(
    server: SpecServer, params: types.DocumentFormattingParams
) -> list[types.TextEdit] | None:
    """The canonical layout, where the text can be parsed."""
    source = server.workspace.get_text_document(params.text_document.uri).source
    tree, mistakes = parse(source, path_of(params.text_document.uri))
    if has_errors(mistakes):
        return None
    laid_out = to_text(tree)
    if laid_out == source:
        return []
    return [types.TextEdit(range=Text(source).whole(), new_text=laid_out)]


def _renamed(doc: Document, offset: int) -> Occurrence | None:
    """The occurrence to rename: of a name that this file declares."""
    occurrence = doc.index.at(offset)
    if occurrence is None or not doc.index.declarations(occurrence.symbol):
        return None
    return occurrence


def name_problem(name: str) -> str | None:
    """Why a word cannot be a name, in a sentence; None where it can."""
    tokens = tokenize(name, "")
    if tokens.kind[:-1] != ["NAME"] or tokens.diagnostics:
        return f"`{name}` is no name: letters, digits and `_`, not beginning with a digit"
    if name in tables().reserved:
        return f"`{name}` is a keyword"
    if node_named(name) is not None:
        return f"`{name}` names a node"
    return None
