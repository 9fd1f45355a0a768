"""`circuitspec lsp`: a language server for editors, over standard input and output."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say

EPILOG = """\b
Editors start it themselves:
  circuitspec lsp --stdio

\b
How to set one up: docs/reference/editors.md. It needs: pip install 'circuitspec[lsp]'

\b
Exit codes: 0 the editor closed it, 2 the extra is not installed.
"""


def lsp(
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Over standard input and output; the only way there is.")
    ] = True,
) -> None:
    """Serve an editor: diagnostics, hover, completion, definitions, renaming, formatting."""
    if find_spec("pygls") is None:
        say("the language server needs pygls: pip install 'circuitspec[lsp]'")
        raise typer.Exit(Exit.WRONG)
    from circuitspec.lsp.server import make_server

    # The editor has the output to itself: nothing else may print there, and pygls closes it.
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with redirect_stdout(sys.stderr):
        make_server().start_io(stdout=protocol)
