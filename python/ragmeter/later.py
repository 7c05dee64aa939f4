"""Later: what counting tokens does not need, which is four fifths of the time that `import ragmeter` took.

It is loaded when it is first asked for, and at once if the environment names a ledger.
"""

from __future__ import annotations

import importlib
import os

from ragmeter._native import after_fork

_NAMES = {
    "context": ("bind", "carry", "current_run", "label", "resume", "run"),
    "ledger": ("Ledger", "LedgerError"),
    "meter": ("health", "record", "record_tokens"),
    "observe": ("instrument", "instrumented", "uninstrument"),
    "quota": ("Quota", "QuotaExceeded"),
    "tokens.messages": ("MessageTokens", "count_message_tokens"),
}
_PLACES = {name: place for place, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _NAMES:
        return importlib.import_module(f"ragmeter.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'ragmeter' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"ragmeter.{_PLACES[name]}"), name)
    # Asked for once.
    setattr(importlib.import_module("ragmeter"), name, found)
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
if os.environ.get("RAGMETER_LEDGER"):
    importlib.import_module("ragmeter.ledger").configure()
