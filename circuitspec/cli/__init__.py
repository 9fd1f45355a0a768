"""The command line: one module a command, none with logic of its own."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `circuitspec` on the process's arguments; always ends in SystemExit.

    Everything is imported inside, so that Ctrl-C while starting is as quiet as later. `--debug`
    may stand anywhere, as it is thought of when the command line is already written.
    """
    from circuitspec.cli.exits import guarded

    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    with guarded(debug=len(arguments) < len(sys.argv) - 1):
        from circuitspec.cli.app import app

        app(args=arguments, prog_name="circuitspec")
