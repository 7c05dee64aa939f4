"""Patches: replace attributes of other people's objects and put back the very objects that were there."""

from __future__ import annotations

import sys
from typing import Any

from ragmeter._native import Patches

__all__ = ["Patches", "required"]


def required(owner: Any, name: str, *, own: bool = False) -> Any:
    """Return `owner.name`, a function that an observer cannot do without.

    Args:
        owner: A class or a module.
        name: Name of the function.
        own: Whether one that `owner` only inherits does not do.

    Raises:
        ImportError: It is not there; the text says which release of which package has no place to observe it at.
    """
    function = vars(owner).get(name) if own else getattr(owner, name, None)
    if callable(function):
        return function
    module = str(getattr(owner, "__module__", owner.__name__)).split(".", maxsplit=1)[0]
    version = getattr(sys.modules.get(module), "__version__", "of this release")
    msg = f"{module} {version} has no {owner.__name__}.{name}; ragmeter cannot observe this release"
    raise ImportError(msg)
