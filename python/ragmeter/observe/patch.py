"""Patches: replace attributes of other people's objects and put back the very objects that were there."""

from __future__ import annotations

from typing import Any

__all__ = ["Patches"]

_ABSENT = object()


class Patches:
    """A set of replacements that are made together and undone together, as often as needed."""

    def __init__(self) -> None:
        self._planned: list[tuple[Any, Any, str, Any, Any]] = []
        self._applied = False

    def plan(self, owner: Any, name: str, value: Any) -> None:
        """Plan to replace `owner.name` by `value`, or `owner[name]` of a dict. What `owner` only inherits stays."""
        space = owner if type(owner) is dict else vars(owner)
        self._planned.append((owner, space, name, space.get(name, _ABSENT), value))

    def fit(self) -> bool:
        """Whether everything is still as it was when it was planned."""
        return all(space.get(name, _ABSENT) is own for _, space, name, own, _ in self._planned)

    def apply(self) -> None:
        """Make the replacements."""
        self._applied = True
        for owner, space, name, _, value in self._planned:
            if type(space) is dict:
                space[name] = value
            else:
                setattr(owner, name, value)

    def undo(self) -> bool:
        """Put everything back. Where somebody else has put something else meanwhile, that stays; False if so."""
        if not self._applied:
            return True
        self._applied = False
        clean = True
        for owner, space, name, own, value in reversed(self._planned):
            if space.get(name, _ABSENT) is not value:
                clean = False
            elif own is _ABSENT:
                delattr(owner, name)
            elif type(space) is dict:
                space[name] = own
            else:
                setattr(owner, name, own)
        return clean
