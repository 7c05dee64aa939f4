"""Hooks: replacements that are made one after the other, as modules arrive, and undone together."""

from __future__ import annotations

from typing import Any

from ragmeter.observe.patch import Patches

__all__ = ["Hooks"]


class Hooks:
    """A growing set of replaced attributes."""

    def __init__(self) -> None:
        self._made: list[Patches] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace `owner.name` by `value` now."""
        patch = Patches()
        patch.plan(owner, name, value)
        patch.apply()
        self._made.append(patch)

    def undo(self) -> None:
        """Put everything back, newest first."""
        while self._made:
            self._made.pop().undo()
