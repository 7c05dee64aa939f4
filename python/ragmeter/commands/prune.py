"""`ragmeter prune`: the end of single calls that are too old. The roll-ups, and so every report, stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter.commands.chosen import add_url, complain, open_ledger
from ragmeter.ledger import LedgerError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_url(parser)
    parser.add_argument("before", help="an age such as 90d, or a time such as 2026-11-22")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 2 if the ledger cannot be changed."""
    try:
        count = open_ledger(arguments.ledger).prune(arguments.before)
    except (LedgerError, ValueError) as exc:
        return complain(exc)
    print(f"{count:,} {'call' if count == 1 else 'calls'} removed; their sums stay")
    return 0
