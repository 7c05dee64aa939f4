"""The face of the meter: recording by hand, and the guard that keeps metering away from the host."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from ragmeter._native import after_fork, count_error, health, record, record_tokens

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["QuotaError", "guard", "health", "logger", "record", "record_tokens", "report_error"]

logger = logging.getLogger("ragmeter")

_said: set[str] = set()


class QuotaError(Exception):
    """A call was refused by a quota. The one error of ragmeter's own that is meant for the host."""

    @property
    def ragflow(self) -> str:
        """The same as RAGFlow's models answer it."""
        return f"**ERROR**: QUOTA_EXCEEDED - {self}"


def report_error(where: str, exc: BaseException) -> None:
    """Count an error of a hook in `health()` and log the first one of each place with its traceback."""
    count_error()
    if where not in _said:
        _said.add(where)
        logger.error(
            "ragmeter: %s failed; the call itself is not affected, its usage may be missing", where, exc_info=exc
        )


class guard(contextlib.AbstractContextManager["guard"]):  # noqa: N801 - reads as a verb
    """Keep the errors of a hook away from the host: counted, logged once, never raised.

    Exceptions are kept, and panics of the native half, which are none; a cancellation or an interrupt passes, and so
    does the word of a quota. Put none of the host's own code inside.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool:
        if exc is None or not (isinstance(exc, Exception) or type(exc).__name__ == "PanicException"):
            return False
        if isinstance(exc, QuotaError):
            return False
        report_error(self._where, exc)
        return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
