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
    "count": ("ragmeter.tokens_cli", "count the tokens of files and folders, exact and offline"),
    "demo": ("ragmeter.demo", "index documents and ask questions on a real LightRAG, and compare with the bill"),
    "doctor": ("ragmeter.doctor", "say which hooks fit what is installed, and whether calls are seen"),
    "report": ("ragmeter.report", "show what was spent, by whom and for what"),
    "verify": ("ragmeter.verify", "prove that the roll-ups of the ledger equal its calls"),
    "prune": ("ragmeter.prune", "remove single calls that are too old from the ledger; their sums stay"),
    "outbox": ("ragmeter.outbox", "show what waits to be sent to your backend, retry or drop what was given up"),
    "serve": ("ragmeter.serve", "serve the HTTP API of tenants; prints a first token"),
    "tenant": ("ragmeter.tenants.cli", "add tenants, set their keys, show what they have used"),
    "run": ("ragmeter.launch", "start a server with ragmeter in it: ragmeter run -- lightrag-server"),
}
"""Name: module with `add_arguments(parser)` and `run(arguments) -> exit code`, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="ragmeter", description="Counts every token that a RAG stack pays for.")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("ragmeter"))
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, does) in _COMMANDS.items():
        command = importlib.import_module(module)
        command.add_arguments(commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}."))
    arguments = parser.parse_args(argv)
    try:
        code: int = importlib.import_module(_COMMANDS[arguments.command][0]).run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ragmeter … | head`
        sys.stderr.close()
        return 0
    return code
