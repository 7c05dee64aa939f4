"""The door of the server: finds the applications that LightRAG makes, and puts the middleware around them."""

from __future__ import annotations

import functools
import inspect
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter import arrival
from ragmeter.ledger import configure, current_ledger
from ragmeter.lightrag.metering import install
from ragmeter.lightrag.server import document, uploads
from ragmeter.lightrag.server.middleware import Metering, header_names
from ragmeter.meter import logger
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = ["instrument_server", "uninstrument_server"]

_SERVER = "lightrag.api.lightrag_server"

_making: ContextVar[list[Any] | None] = ContextVar("ragmeter_making", default=None)
"""The LightRAGs that the `create_app` which is running has made."""

_lock = threading.RLock()


class _Door:
    """What is done to LightRAG's server module, while it is done."""

    def __init__(self, headers: Mapping[bytes, str], refuse: Callable[[Exception], None]) -> None:
        self.patches = Patches()
        self.headers = headers
        self.refuse = refuse

    def hear(self, module: ModuleType) -> None:
        """The server module has been imported."""
        try:
            self._plan(module)
        except Exception as exc:  # noqa: BLE001 - the caller decides whether the server may start unmetered
            self.refuse(exc)
        else:
            self.patches.apply()

    def _plan(self, module: ModuleType) -> None:
        create_app, make = getattr(module, "create_app", None), getattr(module, "LightRAG", None)
        if create_app is None or make is None or "LightRAG" not in inspect.unwrap(create_app).__code__.co_names:
            msg = f"ragmeter cannot meter this release of LightRAG's server: {_SERVER} has no create_app that it knows"
            raise RuntimeError(msg)

        @functools.wraps(make, updated=())
        def make_lightrag(*args: Any, **kwargs: Any) -> Any:
            rag = make(*args, **kwargs)
            made = _making.get()
            if made is not None:
                made.append(rag)
            else:
                self.refuse(RuntimeError("create_app was imported before instrument_server() was called"))
            return rag

        @functools.wraps(create_app)
        def create_metered_app(*args: Any, **kwargs: Any) -> Any:
            made: list[Any] = []
            token = _making.set(made)
            try:
                app = create_app(*args, **kwargs)
            finally:
                _making.reset(token)
            try:
                _attach(app, made[-1], self.headers)
            except Exception as exc:  # noqa: BLE001 - the caller decides whether the server may start unmetered
                self.refuse(exc)
            return app

        self.patches.plan(module, "LightRAG", make_lightrag)
        self.patches.plan(module, "create_app", create_metered_app)


_door: _Door | None = None
_described: list[Patches] = []
"""The applications whose OpenAPI documents speak of metrics."""


def instrument_server(
    app: Any = None,
    rag: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    refuse: Callable[[Exception], None] | None = None,
) -> None:
    """Meter LightRAG's API server: usage in its answers, its log, the ledger and your backend.

    Call it before `lightrag.api.lightrag_server` makes its application, or hand over an application of your own with
    LightRAG's routers in it, before it has started. Without `RAGMETER_LEDGER` the ledger is `ragmeter.db` in the
    working directory of the LightRAG. Nothing is opened before a server forks.

    Args:
        app: A FastAPI application; without one, every application that LightRAG's `create_app` makes from now on.
        rag: The LightRAG that `app` serves.
        headers: Names of the headers that say who asks: `{"tenant": "X-Tenant", "user": …, "session": …}`. See
            docs/lightrag-server.md.
        refuse: Called with the error when LightRAG's own server turns out not to fit. Without it that is raised, and
            the server does not start.

    Raises:
        RuntimeError: No hook fits this release of LightRAG, or the application has started already.
        TypeError: An application without its LightRAG.
    """
    global _door  # noqa: PLW0603 - one server module, one door
    names = header_names(headers)
    if app is not None:
        if rag is None:
            msg = "instrument_server(app, rag) takes the LightRAG that the application serves"
            raise TypeError(msg)
        _attach(app, rag, names)
        return
    with _lock:
        _close_door()
        _door = _Door(names, refuse or _raise)
        arrival.when_imported(_SERVER, _door.hear)


def uninstrument_server() -> None:
    """Leave applications that LightRAG makes from now on alone.

    Those that were made stay metered; their OpenAPI documents are their own again.
    """
    with _lock:
        _close_door()
        while _described:
            _described.pop().undo()


def _close_door() -> None:
    global _door  # noqa: PLW0603
    if _door is not None:
        arrival.forget(_door.hear)
        _door.patches.undo()
        _door = None


def _raise(exc: Exception) -> None:
    raise exc


def _attach(app: Any, rag: Any, headers: Mapping[bytes, str]) -> None:
    """Meter an application that has not started."""
    app.add_middleware(Metering, rag=rag, headers=headers)
    install(rag)
    patches = Patches()
    uploads.plan(rag, patches)
    patches.apply()
    description = Patches()
    document.plan(app, description)
    description.apply()
    _described.append(description)
    if current_ledger() is None:
        ledger = configure(f"sqlite:{Path(rag.working_dir).absolute() / 'ragmeter.db'}")
        if ledger is not None:
            logger.info("ragmeter: the ledger is %s", ledger.url)
