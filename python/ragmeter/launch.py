"""Launch: what a process does that `ragmeter run` has started: it waits for a host, and meters it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["HOSTS", "VARIABLE", "begin", "refuse"]

HOSTS = {
    **dict.fromkeys(("agent", "api", "common", "rag"), "ragmeter.ragflow.arrive"),
    "lightrag": "ragmeter.lightrag.arrive",
}
"""Packages of a host, any of which may be imported first: our module, whose `arrive(runs=…)` says whether it is that
host and meters it."""

VARIABLE = "RAGMETER_RUN"
"""Of the environment: the options of `ragmeter run`, in a process that it has started."""


def begin() -> None:
    """Wait for a host, in a process that `ragmeter run` has started."""
    options = os.environ.get(VARIABLE)
    if options:
        sys.meta_path.insert(0, _Watch(json.loads(options)))


class _Watch:
    """Sees the first module of a host being looked for; finds nothing itself. Cheap, for processes without a host."""

    def __init__(self, options: dict[str, bool]) -> None:
        self._options = {name: value for name, value in options.items() if name != "strict"}
        self._waiting = dict(HOSTS)

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        page = self._waiting.pop(fullname, None)
        if page is not None:
            self._arrive(page)
        return None

    def _arrive(self, page: str) -> None:
        try:
            importlib.import_module(page).arrive(**self._options)
        except Exception as exc:  # noqa: BLE001 - the server must start, metered or not
            self._waiting.clear()
            refuse(exc)


def refuse(exc: Exception) -> None:
    """Say that this server is not metered and why; where metering is a condition, end it."""
    sys.stderr.write(f"\n*** ragmeter: THIS SERVER IS NOT METERED. {exc}\n\n")
    if json.loads(os.environ.get(VARIABLE) or "{}").get("strict"):
        sys.stderr.flush()
        os._exit(3)
