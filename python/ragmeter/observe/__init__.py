"""Observers: each watches one provider SDK and turns its answers into recorded calls.

`instrument("openai")` switches one on for the whole process, `uninstrument("openai")` puts every attribute back as it
was. An observer is a module with `plan(**options)`, which returns the `Patches` that make it see; a new one is a new
file and one line below.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from ragmeter.observe.patch import Patches

__all__ = ["awaited", "instrument", "instrumented", "observers", "uninstrument"]


class _Observer(NamedTuple):
    module: str
    """Where it is, under this package."""
    arrives: str
    """The module of the SDK without which there is nothing to observe."""


_OBSERVERS = {
    "aiobotocore": _Observer("aiobotocore", "aiobotocore.client"),
    "aiohttp": _Observer("aiohttp", "aiohttp"),
    "anthropic": _Observer("anthropic", "anthropic"),
    "botocore": _Observer("botocore", "botocore.client"),
    "dashscope": _Observer("dashscope", "dashscope.api_entities.http_request"),
    "google.genai": _Observer("google_genai", "google.genai"),
    "ollama": _Observer("ollama", "ollama"),
    "openai": _Observer("openai", "openai"),
    "voyageai": _Observer("voyageai", "voyageai"),
    "zai": _Observer("zai", "zai"),
    "zhipuai": _Observer("zhipuai", "zhipuai"),
}
"""Name of the SDK's package: its observer."""

_ALIASES = {"aioboto3": "aiobotocore", "boto3": "botocore"}
"""Packages that only dress up another one."""

_lock = threading.RLock()
_installed: dict[str, Patches] = {}
_waiting: dict[str, Callable[[ModuleType], object]] = {}
"""SDKs that are to be observed as soon as they are imported, and who waits for that."""


def _known(name: str) -> str:
    name = _ALIASES.get(name, name)
    if name not in _OBSERVERS:
        known = ", ".join(sorted(_OBSERVERS))
        msg = f"there is no observer for '{name}'; the observers are {known}"
        raise ValueError(msg)
    return name


def instrument(*names: str, **options: object) -> None:
    """Switch observers on, process-wide. Switching one on again changes nothing but its options.

    Args:
        *names: SDKs to observe. None means every SDK that has an observer, as soon as it is imported: one that nobody
            imports costs nothing, and one whose release has no place to observe it at is logged as an error.
        **options: For the observers named. `openai`: `include_usage=False` leaves the requests of streams as they are;
            their usage is estimated then, unless the user asks for it himself.

    Raises:
        ValueError: No observer has that name.
        ImportError: An SDK that was named is not installed, or this release of it has no place to observe it at.
    """
    for name in map(_known, names):
        _switch_on(name, options)
    if not names:
        _wait_for_all()


def _switch_on(name: str, options: dict[str, object]) -> None:
    patches: Patches = importlib.import_module(f"{__name__}.{_OBSERVERS[name].module}").plan(**options)
    with _lock:
        if name not in _installed:
            patches.apply()
            _installed[name] = patches


def _wait_for_all() -> None:
    from ragmeter.arrival import when_imported

    for name, observer in _OBSERVERS.items():
        with _lock:
            if name in _waiting or name in _installed:
                continue
            _waiting[name] = hear = _arrival(name)
        when_imported(observer.arrives, hear)


def _arrival(name: str) -> Callable[[ModuleType], object]:
    def hear(_: ModuleType) -> None:
        from ragmeter.meter import guard

        with guard(f"observing {name}"):
            _waiting.pop(name, None)
            _switch_on(name, {})

    return hear


def uninstrument(*names: str) -> None:
    """Switch observers off; every attribute of the SDK is the very object again that it was. None means all."""
    for name in map(_known, names or [*_installed, *_waiting]):
        with _lock:
            waiting, patches = _waiting.pop(name, None), _installed.pop(name, None)
            if patches is not None:
                patches.undo()
        if waiting is not None:
            from ragmeter.arrival import forget

            forget(waiting)


def instrumented() -> frozenset[str]:
    """Return the names of the SDKs that are observed."""
    return frozenset(_installed)


def awaited() -> frozenset[str]:
    """Return the names of the SDKs that are to be observed as soon as they are imported."""
    return frozenset(_waiting)


def observers() -> list[str]:
    """Return the names of the SDKs that can be observed, installed or not."""
    return sorted(_OBSERVERS)
