"""`ragmeter verify`: proof that the roll-ups of a ledger equal its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.commands.chosen import add_url, complain, open_ledger
from ragmeter.commands.table import visible
from ragmeter.ledger import LedgerError
from ragmeter.quantity import moment

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

_MOST_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_url(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if a roll-up and its calls differ, 2 if the ledger cannot be read."""
    try:
        compared, differences = open_ledger(arguments.ledger).verify()
    except (LedgerError, ValueError) as exc:
        return complain(exc)
    for difference in differences[:_MOST_SHOWN]:
        print(_line(difference))
    if differences:
        print(f"{len(differences):,} of {compared:,} rows of the roll-ups differ from their calls")
        return 1
    print(f"{compared:,} rows of the roll-ups equal their calls")
    return 0


def _line(difference: dict[str, Any]) -> str:
    at = moment(difference["hour"])
    labels = visible(" ".join(f"{name}={text}" for name, text in difference["labels"].items()))

    def says(sums: dict[str, Any]) -> str:
        usage = sums["usage"]
        return f"{sums['calls']} calls, {usage.get('input_tokens')} in, {usage.get('output_tokens')} out"

    rolled_up, calls = says(difference["rolled_up"]), says(difference["calls"])
    return f"{at:%Y-%m-%d %H:00} {difference['table']} [{labels}]: roll-up {rolled_up}; calls {calls}"
