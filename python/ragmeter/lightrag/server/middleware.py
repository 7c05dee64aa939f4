"""Metering: the ASGI middleware that makes each request to a LightRAG server a run."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ragmeter.context import run
from ragmeter.ledger import current_ledger
from ragmeter.lightrag.server.answer import Answer
from ragmeter.lightrag.server.pages import page_of
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from ragmeter.lightrag.server.pages import Page

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

__all__ = ["Metering", "header_names"]

_LABELS = ("tenant", "user", "session")
_MOMENT = 1.0
"""Seconds after which an SDK has noticed that the reader of a stream is gone."""


def header_names(given: Mapping[str, str] | None = None) -> dict[bytes, str]:
    """Return the headers that name who asks, and the label of each.

    A label's header is the one given, else that of `RAGMETER_TENANT_HEADER` and so on, else `X-Ragmeter-Tenant`.

    Raises:
        ValueError: A label other than tenant, user and session.
    """
    given = given or {}
    if unknown := sorted(set(given) - set(_LABELS)):
        msg = f"headers name {', '.join(_LABELS)}, not {', '.join(unknown)}"
        raise ValueError(msg)
    names = {
        label: given.get(label) or os.environ.get(f"RAGMETER_{label.upper()}_HEADER") or f"x-ragmeter-{label}"
        for label in _LABELS
    }
    return {name.lower().encode("latin-1"): label for label, name in names.items()}


class Metering:
    """Makes each request a run, puts its numbers into the answer, and sends them on when it is over.

    Args:
        app: The ASGI application inside.
        rag: The LightRAG that it serves; its workspace is the tenant of requests that name none.
        headers: See `header_names`.
    """

    def __init__(self, app: Any, rag: Any, headers: Mapping[bytes, str]) -> None:
        self.app = app
        self._rag = rag
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        page = None
        if scope["type"] == "lifespan":  # begins in each worker, after the fork
            with guard("bringing what an earlier process has left"):
                _wake()
        if scope["type"] == "http":
            with guard("opening the run of a request"):
                page = self._open(scope)
        if page is None:
            await self.app(scope, receive, send)
            return
        answer = Answer(send, page)
        try:
            with page.block as page.run:
                await self.app(scope, receive, answer)
        finally:
            with guard("closing the run of a request"):
                if answer.complete or not page.changes:
                    page.over()
                else:  # an error, or a reader who left: what he asked for may still be open
                    asyncio.get_running_loop().call_later(_MOMENT, _over, page)

    def _open(self, scope: Scope) -> Page | None:
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        page = page_of(scope["method"], path)
        if page is None:
            return None
        labels: dict[str, Any] = {"tenant": getattr(self._rag, "workspace", None) or None}
        for name, value in scope["headers"]:
            label, text = self._headers.get(name), value.decode("latin-1").strip()
            if label is not None and text:
                labels[label] = text
        name = f"{scope['method']} {path}"
        return page(name, self._rag, run(name, **labels))


def _wake() -> None:
    """Have what earlier processes have left in the journal and the outbox brought and sent, before any call is made."""
    ledger = current_ledger()
    if ledger is not None:
        ledger.flush(0)


def _over(page: Page) -> None:
    with guard("closing the run of a request"):
        page.over()
