"""Hush: what the HTTP libraries log while a key is tried, without keys."""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ragmeter.tenants.secret import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.tenants.secret import Secret

__all__ = ["hushed"]

_PARTS = ("connection", "http11", "http2", "proxy", "socks")
_LOGGERS = (
    "openai._base_client",
    *("httpx", "httpx2"),
    *(f"{library}.{part}" for library in ("httpcore", "httpcore2") for part in _PARTS),
)
"""Those of the OpenAI SDK and of the libraries below it, which log URLs and the headers of an answer."""

_secrets: ContextVar[tuple[Secret | None, ...] | None] = ContextVar("ragmeter_hushed", default=None)


def _scrub(record: logging.LogRecord) -> bool:
    if (secrets := _secrets.get()) is not None:
        # What cannot be formatted is left to the handler, which says so.
        with contextlib.suppress(Exception):
            record.msg, record.args = scrub(record.getMessage(), secrets), None
    return True


@contextlib.contextmanager
def hushed(*secrets: Secret | None) -> Iterator[None]:
    """Take these secrets, and what looks like one, out of what is logged in this context meanwhile."""
    # A logger's filters do not see what its children log, so each has it.
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_scrub)
    token = _secrets.set(secrets)
    try:
        yield
    finally:
        _secrets.reset(token)
