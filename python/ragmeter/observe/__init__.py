"""Observers: each watches one provider SDK and turns its answers into recorded calls.

`instrument("openai")` switches one on for the whole process, `uninstrument("openai")` puts every attribute back as it
was. An observer is a module with `install(**options)` and `uninstall()`; a new one is a new file and one line below.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading

__all__ = ["instrument", "instrumented", "uninstrument"]

_OBSERVERS = {"openai": "ragmeter.observe.openai"}
"""Name of the SDK's package: module of its observer."""

_lock = threading.RLock()
_installed: set[str] = set()


def _module(name: str) -> str:
    try:
        return _OBSERVERS[name]
    except KeyError:
        known = ", ".join(sorted(_OBSERVERS))
        msg = f"there is no observer for '{name}'; the observers are {known}"
        raise ValueError(msg) from None


def instrument(*names: str, **options: object) -> None:
    """Switch observers on, process-wide. Switching one on again changes nothing but its options.

    Args:
        *names: SDKs to observe. None means every SDK that is installed and has an observer.
        **options: For the observers named. `openai`: `include_usage=False` leaves the requests of streams as they are;
            their usage is estimated then, unless the user asks for it himself.

    Raises:
        ValueError: No observer has that name.
        ImportError: The SDK is not installed, or this release of it has no place to observe it at.
    """
    for name in names or [name for name in _OBSERVERS if importlib.util.find_spec(name) is not None]:
        module = _module(name)
        with _lock:
            importlib.import_module(module).install(**options)
            _installed.add(name)


def uninstrument(*names: str) -> None:
    """Switch observers off; every attribute of the SDK is the very object again that it was. None means all."""
    for name in names or sorted(_installed):
        module = _module(name)
        with _lock:
            if name in _installed:
                importlib.import_module(module).uninstall()
                _installed.discard(name)


def instrumented() -> frozenset[str]:
    """Return the names of the SDKs that are observed."""
    return frozenset(_installed)
