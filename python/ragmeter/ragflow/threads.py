"""Threads: what starts inside a run belongs to it, also in threads and executors that inherit no context.

Only the variables of the run are handed over, and only where a run is in force. The worker threads of an executor begin
without a run: each job brings its own.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ragmeter._native import current_scope, langfuse_run_attrs, scope_variable, token_usage_sink
from ragmeter.witness import call_variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install"]

_VARIABLES: tuple[ContextVar[Any], ...] = (
    scope_variable,
    call_variable,
    token_usage_sink,
    langfuse_run_attrs,
)


def install(hooks: Hooks) -> None:
    """Hand runs over to threads and jobs of executors, process-wide, until `hooks` are undone."""
    hooks.set(threading.Thread, "start", _start(threading.Thread.start))
    hooks.set(ThreadPoolExecutor, "submit", _submit(ThreadPoolExecutor.submit))


class _Carried:
    """The variables of a run as they were where something was started."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values = [(variable, variable.get()) for variable in _VARIABLES]

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in self._values]
        try:
            return function(*args, **kwargs)
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        scope = current_scope()
        if scope is not None and scope.run is not None:
            self.run = functools.partial(_Carried().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        scope = current_scope()
        if scope is None or scope.run is None:
            return original(self, fn, *args, **kwargs)
        job = functools.partial(_Carried().run, fn)
        return _outside(original, self, job, *args, **kwargs)

    return submit


def _outside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call with no run in force: the executor may start a worker thread, which outlives the run."""
    token = scope_variable.set(None)
    try:
        return function(*args, **kwargs)
    finally:
        scope_variable.reset(token)
