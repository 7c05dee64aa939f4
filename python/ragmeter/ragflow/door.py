"""install() and uninstall(): RAGFlow counts through ragmeter, whether it is imported already or not."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from ragmeter.meter import logger
from ragmeter.ragflow import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["install", "installed", "uninstall"]

# What only an installation needs is imported then: most of RAGFlow's processes import the names alone.

_TOKEN_UTILS = "common.token_utils"  # noqa: S105 - a module

_lock = threading.RLock()
_replaced: dict[str, tuple[Any, Any]] = {}
"""Name: the original, and what stands in its place."""

_state: dict[str, bool] = {"names": False, "runs": False}


def install(*, runs: bool = False, **options: Any) -> None:
    """Let RAGFlow count through ragmeter, before or after its own import; modules that hold the names are updated.

    Installing again with `runs=True` adds the runs. A run of an agent that is on its way keeps what it has.

    Args:
        runs: Make every run of an agent a ragmeter run, with its tenant, user and session and the canvas id as its
            name, and see to it that no call escapes it. Also observes every SDK that has an observer.
        **options: `keep_calls`: how many calls each run keeps one by one. `on_run`: a function that is called with the
            `Run` when it ends.

    Raises:
        Misfit: This release of RAGFlow does not fit; the text says what is missing. Nothing is changed then.
    """
    from ragmeter.ragflow import runs as hooks
    from ragmeter.ragflow.fit import public_names, require

    with _lock:
        there = public_names(_TOKEN_UTILS)
        require(hooks.NEEDED if runs else {}, sorted(_foreign(there)) if there and not _state["names"] else ())
        if not _state["names"]:
            _install_names()
            _state["names"] = True
        if runs and not _state["runs"]:
            hooks.install(**options)
            _replace_functions(hooks.FUNCTIONS)
            _state["runs"] = True


def installed() -> bool:
    """Return whether RAGFlow counts through ragmeter."""
    return _state["names"]


def uninstall() -> None:
    """Put back what `install` replaced, in every module that holds it by now."""
    with _lock:
        if _state["runs"]:
            from ragmeter.ragflow import runs as hooks

            hooks.uninstall()
            _replace_functions({name: getattr(names, name) for name in hooks.FUNCTIONS})
            _state["runs"] = False
        if _state["names"]:
            _uninstall_names()
            _state["names"] = False


def _foreign(there: set[str]) -> set[str]:
    """Names of the original that ragmeter does not know; what it imported itself is none of them."""
    return there - set(names.NAMES) - {"logger"}


def _install_names() -> None:
    original = sys.modules.get(_TOKEN_UTILS)
    if original is None:
        from ragmeter import arrival

        arrival.provide(_TOKEN_UTILS, _fill)
        return
    for name in names.NAMES:
        if name in vars(original):
            _replaced[name] = (vars(original)[name], getattr(names, name))
        setattr(original, name, getattr(names, name))
    _swap({name: pair for name, pair in _replaced.items() if name != "tiktoken_cache_dir"})


def _fill(module: ModuleType) -> None:
    """Make `module` stand in for `common.token_utils`."""
    module.__doc__ = "RAGFlow's token functions, by ragmeter."
    for name in names.NAMES:
        setattr(module, name, getattr(names, name))
    if _state["runs"]:
        from ragmeter.ragflow import runs as hooks

        for name, function in hooks.FUNCTIONS.items():
            setattr(module, name, function)


def _replace_functions(functions: dict[str, Any]) -> None:
    """Let `functions` stand where functions of the same names of ours stand now."""
    module = sys.modules.get(_TOKEN_UTILS)
    if module is None:
        return
    pairs = {name: (vars(module)[name], function) for name, function in functions.items()}
    for name, (_, function) in pairs.items():
        setattr(module, name, function)
    _swap(pairs, _of_the_user)


def _swap(pairs: dict[str, tuple[Any, Any]], keep: Callable[[ModuleType, str], bool] = lambda *_: False) -> None:
    """Replace objects by others in the names of every module but ours, and but those to keep."""
    new = {id(before): (before, after) for before, after in pairs.values()}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "ragmeter" or not isinstance(getattr(module, "__dict__", None), dict):
            continue
        for key, value in list(vars(module).items()):
            before, after = new.get(id(value), (None, None))
            if before is value and before is not None and not keep(module, key):
                setattr(module, key, after)
                _swapped.add((name, key))


_swapped: set[tuple[str, str]] = set()
"""Modules and names that once were given something of ours."""


def _of_the_user(module: ModuleType, key: str) -> bool:
    """Whether a module holds a name of ours because it imported ragmeter: no module of RAGFlow, never touched by us."""
    from ragmeter.ragflow.place import checkout

    base, path = checkout(), getattr(module, "__file__", None) or ""
    return not (base is not None and path.startswith(base)) and (module.__name__, key) not in _swapped


def _uninstall_names() -> None:
    from ragmeter import arrival

    arrival.forget(_fill)
    module = sys.modules.get(_TOKEN_UTILS)
    if module is None:
        return
    if not _replaced:
        ours = sys.modules.pop(_TOKEN_UTILS)
        try:
            module = importlib.import_module(_TOKEN_UTILS)
        except ImportError as exc:
            sys.modules[_TOKEN_UTILS] = ours
            logger.warning("ragmeter: RAGFlow's own token functions cannot be imported, ragmeter's stay: %s", exc)
            return
        pairs = {name: (getattr(names, name), vars(module).get(name)) for name in names.NAMES}
        pairs = {name: pair for name, pair in pairs.items() if pair[1] is not None and name != "tiktoken_cache_dir"}
        _swap(pairs, _of_the_user)
        return
    pairs = {name: (after, before) for name, (before, after) in _replaced.items() if name != "tiktoken_cache_dir"}
    _swap(pairs, _of_the_user)
    for name in names.NAMES:
        if name in _replaced:
            setattr(module, name, _replaced[name][0])
        elif vars(module).get(name) is getattr(names, name):
            delattr(module, name)
    _replaced.clear()
