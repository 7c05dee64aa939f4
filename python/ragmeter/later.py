"""Later: the ledger and quotas, which counting tokens does not need; half of the time that `import ragmeter` took.

They are loaded when they are first asked for, and at once if the environment names a ledger.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragmeter.ledger import Ledger, LedgerError
    from ragmeter.quota import Quota, QuotaExceeded

__all__ = ["Ledger", "LedgerError", "Quota", "QuotaExceeded"]

_PLACES = {"Ledger": "ledger", "LedgerError": "ledger", "Quota": "quota", "QuotaExceeded": "quota"}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(importlib.import_module(f"ragmeter.{_PLACES[name]}"), name)
    if name in _PLACES.values():
        return importlib.import_module(f"ragmeter.{name}")
    raise AttributeError(f"module 'ragmeter' has no attribute {name!r}")


if os.environ.get("RAGMETER_LEDGER"):
    importlib.import_module("ragmeter.ledger").configure()
