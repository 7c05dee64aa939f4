"""Patches: replace attributes of other people's classes and put back the very objects that were there."""

from __future__ import annotations

from typing import Any

__all__ = ["Patches"]

_ABSENT = object()


class Patches:
    """A set of replaced attributes, undone together."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, Any]] = []
        self._undo_items: list[tuple[dict[str, Any], str, Any, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace `owner.name` by `value`; what `owner` only inherits is not touched."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)
        self._undo.append((owner, name, before, value))

    def set_item(self, owner: dict[str, Any], key: str, value: Any) -> None:
        """Replace `owner[key]`, which is there, by `value`."""
        self._undo_items.append((owner, key, owner[key], value))
        owner[key] = value

    def undo(self) -> None:
        """Put everything back, newest first. Where somebody else patched on top of ours, his patch stays."""
        while self._undo_items:
            mapping, key, before, ours = self._undo_items.pop()
            if mapping.get(key) is ours:
                mapping[key] = before
        while self._undo:
            owner, name, before, ours = self._undo.pop()
            if vars(owner).get(name, _ABSENT) is not ours:
                continue
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
