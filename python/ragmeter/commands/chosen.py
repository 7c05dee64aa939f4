"""Chosen: the ledger that a command is about, and what is said where it cannot be read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ragmeter.ledger import Ledger

if TYPE_CHECKING:
    import argparse

__all__ = ["add_url", "complain", "open_ledger"]


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the ledger."""
    parser.add_argument(
        "--ledger", metavar="URL", default=os.environ.get("RAGMETER_LEDGER"), help="default: RAGMETER_LEDGER"
    )


def complain(exc: Exception) -> int:
    """Say what is wrong, for people."""
    print(f"ragmeter: {exc}", file=sys.stderr)
    return 2


def open_ledger(url: str | None) -> Ledger:
    """Open a ledger for reading.

    Raises:
        ValueError: No URL, or a wrong one.
    """
    if not url:
        msg = "which ledger? give --ledger URL or set RAGMETER_LEDGER"
        raise ValueError(msg)
    return Ledger(url)
