"""`ragmeter outbox`: what waits to be sent, was sent, or was given up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragmeter.commands.chosen import add_url, complain, open_ledger
from ragmeter.commands.table import table
from ragmeter.ledger import LedgerError
from ragmeter.quantity import moment

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    does = parser.add_subparsers(dest="action", metavar="action", required=True)
    listing = does.add_parser("list", help="show events")
    listing.add_argument("--state", choices=["waiting", "sent", "dead"], help="only these (default: waiting and dead)")
    listing.add_argument("--json", action="store_true", help="print JSON, with what is sent")
    listing.add_argument("--limit", type=int, default=100)
    retry = does.add_parser("retry", help="try events again that were given up")
    drop = does.add_parser("drop", help="remove events that were given up")
    for parser_of in (listing, retry, drop):
        add_url(parser_of)
    for parser_of in (retry, drop):
        which = parser_of.add_mutually_exclusive_group(required=True)
        which.add_argument("id", nargs="?", help="id of one event")
        which.add_argument("--all", action="store_true", help="every event that was given up")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if there is no such event, 2 if the ledger cannot be read."""
    try:
        ledger = open_ledger(arguments.ledger)
        if arguments.action == "list":
            states = [arguments.state] if arguments.state else ["dead", "waiting"]
            letters = [letter for state in states for letter in ledger.letters(state, arguments.limit)]
            if arguments.json:
                print(json.dumps(letters, indent=2))
            else:
                rows = [
                    [letter["id"], _time(letter["at"]), letter["destination"], letter["subject"], letter["kind"],
                     letter["state"], letter["attempts"], letter["trouble"] or ""]
                    for letter in letters
                ]  # fmt: skip
                head = ["id", "time", "for", "about", "kind", "state", "attempts", "trouble"]
                print(table(head, rows) if rows else "the outbox is empty")
            return 0
        change = ledger.retry_letters if arguments.action == "retry" else ledger.drop_letters
        count = change(arguments.id)
    except (LedgerError, ValueError) as exc:
        return complain(exc)
    done = "will be tried again" if arguments.action == "retry" else "removed"
    print(f"{count:,} {'event' if count == 1 else 'events'} {done}")
    return 0 if count or arguments.all else 1


def _time(at: int) -> str:
    return moment(at).strftime("%Y-%m-%d %H:%M:%S")
