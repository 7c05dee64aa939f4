"""Arrival: hear of a module when it is imported, now or later, or bring one of one's own in its place."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    Heard = Callable[[ModuleType], object]

__all__ = ["forget", "provide", "when_imported"]

_lock = threading.RLock()
_waiting: dict[str, list[Heard]] = {}
_provided: dict[str, Heard] = {}
_asking = threading.local()
_late: set[str] = set()
"""Modules whose code was running when somebody began to wait for them; looked after at the next import."""


def when_imported(name: str, hear: Heard) -> None:
    """Call `hear(module)` once `name` is imported: at once if it is, else right after its code has run.

    What `hear` raises is raised where the module is imported; guard it.
    """
    with _lock:
        module = _arrived(name)
        if module is None:
            _waiting.setdefault(name, []).append(hear)
            if name in sys.modules:
                _late.add(name)
            _listen()
            return
    hear(module)


def _arrived(name: str) -> ModuleType | None:
    """Return the module if its code has run to the end."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module


def _tell(name: str, module: ModuleType) -> None:
    with _lock:
        functions = _waiting.pop(name, [])
        _late.discard(name)
    for hear in functions:
        hear(module)


def provide(name: str, fill: Heard) -> None:
    """Whenever `name` is to be imported, make an empty module and have `fill(module)` fill it."""
    with _lock:
        _provided[name] = fill
        _listen()


def forget(hear: Heard) -> None:
    """Call `hear` no more."""
    with _lock:
        for name in [name for name, fill in _provided.items() if fill == hear]:
            del _provided[name]
        for name, functions in list(_waiting.items()):
            _waiting[name] = [function for function in functions if function != hear]
            if not _waiting[name]:
                del _waiting[name]
        if not (_waiting or _provided) and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


def _listen() -> None:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        for name in list(_late):
            if (module := _arrived(name)) is not None:
                _tell(name, module)
        if (fullname not in _waiting and fullname not in _provided) or getattr(_asking, "on", False):
            return None
        if fullname in _provided:
            return importlib.util.spec_from_loader(fullname, _Filler(_provided[fullname]), origin="ragmeter")
        _asking.on = True
        try:
            specs = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            _asking.on = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, fullname)
        return spec


_finder = _Finder()


class _Filler(importlib.abc.Loader):
    """Loads a module of ours."""

    def __init__(self, fill: Heard) -> None:
        self._fill = fill

    def exec_module(self, module: ModuleType) -> None:
        self._fill(module)


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, then tells who waits for it."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader, self._name = loader, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def get_code(self, name: str) -> Any:
        """The code of the module for `python -m`, which runs it as `__main__`: another module than the one waited for.

        What a server does there is to call its `main`, so that is called, in the module that is waited for.
        """
        code = self._loader.get_code(name)
        if code is None or "main" not in code.co_names:
            return code
        return compile(f"import sys\nfrom {name} import main\nsys.exit(main())", code.co_filename, "exec")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _tell(self._name, module)
