"""A stub server that knows the truth: OpenAI's API on this machine, faults on demand, and a ledger of what it billed.

    from ragmeter.testing import StubServer, Fault, documents

Standard library only. Not here: any counter of ragmeter; the stub has its own rule of what a token is, so that its
ledger is a second opinion.
"""

from __future__ import annotations

from importlib.resources import files

from ragmeter.testing.bill import Bill, Totals
from ragmeter.testing.fault import BAD_USAGES, Fault, Faults, Rule
from ragmeter.testing.prompt import Message, Prompt
from ragmeter.testing.server import StubServer

__all__ = [
    "BAD_USAGES",
    "Bill",
    "Fault",
    "Faults",
    "Message",
    "Prompt",
    "Rule",
    "StubServer",
    "Totals",
    "documents",
]


def documents() -> dict[str, str]:
    """The texts that ship with ragmeter, by file name: short prose in the public domain, for demos and tests."""
    folder = files("ragmeter.testing") / "documents"
    found = sorted(folder.iterdir(), key=lambda path: path.name)
    return {path.name: path.read_text(encoding="utf-8") for path in found if path.name.endswith(".txt")}
