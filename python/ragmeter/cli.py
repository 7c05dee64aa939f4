"""The `ragmeter` command."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = {
    "count": "count the tokens of files and folders, exact and offline",
    "demo": "index documents and ask questions on a real LightRAG, and compare with the bill",
    "doctor": "say which hooks fit what is installed, and whether calls are seen",
    "report": "show what was spent, by whom and for what",
    "verify": "prove that the roll-ups of the ledger equal its calls",
    "prune": "remove single calls that are too old from the ledger; their sums stay",
    "outbox": "show what waits to be sent to your backend, retry or drop what was given up",
    "serve": "serve the HTTP API of tenants; prints a first token",
    "tenant": "add tenants, set their keys, show what they have used",
    "run": "start a server with ragmeter in it: ragmeter run -- lightrag-server",
}
"""Name of the command and of its page in `ragmeter.commands`, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="ragmeter", description="Counts every token that a RAG stack pays for.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("ragmeter"))
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, does in _COMMANDS.items():
        command = importlib.import_module(f"ragmeter.commands.{name}")
        command.add_arguments(commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}."))
    arguments = parser.parse_args(argv)
    try:
        code: int = importlib.import_module(f"ragmeter.commands.{arguments.command}").run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ragmeter … | head`
        sys.stderr.close()
        return 0
    return code
