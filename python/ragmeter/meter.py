"""The face of the meter: recording by hand, and the guard that keeps metering away from the host."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from ragmeter._native import count_error, health, record, record_tokens

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["QuotaError", "guard", "health", "keep", "logger", "record", "record_tokens", "report_error"]

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


def keep(where: str, exc: BaseException) -> None:
    """Keep the error of a hook away from the host: counted, logged once, not raised.

    Exceptions are kept, and panics of the native half, which are none; a cancellation or an interrupt is raised, and so
    is the word of a quota.
    """
    if not _is_ours(exc):
        raise exc
    report_error(where, exc)


def _is_ours(exc: BaseException) -> bool:
    if isinstance(exc, QuotaError):
        return False
    return isinstance(exc, Exception) or type(exc).__name__ == "PanicException"


class guard(contextlib.AbstractContextManager["guard"]):  # noqa: N801 - reads as a verb
    """Do what `keep` does for a block. Put none of the host's own code inside."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool:
        if exc is None or not _is_ours(exc):
            return False
        report_error(self._where, exc)
        return True
