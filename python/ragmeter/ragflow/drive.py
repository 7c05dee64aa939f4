"""Drive: run somebody's coroutine or generator in a context of its own, step by step, in whatever task asks for it.

A generator shares the context of whoever asks for its next item. What it sets there stays set between its steps, is
missing where another task asks, and two generators of one task overwrite each other. In a context of its own none of
this happens.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextvars import Context

__all__ = ["drive", "drive_sync", "within_context"]


class within_context:  # noqa: N801 - reads as a verb
    """Await `awaitable` with every step of it run in `context`, in the task that awaits."""

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context, self._awaitable = context, awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        inner: Any = run(self._awaitable.__await__)
        step: Callable[[], Any] = functools.partial(inner.send, None)
        while True:
            try:
                future = run(step)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield future
            except GeneratorExit:
                run(inner.close)
                raise
            except BaseException as exc:  # noqa: BLE001 - thrown in by the task, handed on as it is
                step = functools.partial(inner.throw, exc)
            else:
                step = functools.partial(inner.send, value)


async def drive(context: Context, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Return what `generator` yields, with every step of it run in `context`."""
    step: Callable[[], Any] = generator.__anext__
    try:
        while True:
            try:
                item = await within_context(context, step())
            except StopAsyncIteration:
                return
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as exc:  # noqa: BLE001 - thrown in by the caller, handed on as it is
                step = functools.partial(generator.athrow, exc)
            else:
                step = functools.partial(generator.asend, sent)
    finally:
        await within_context(context, generator.aclose())


def drive_sync(context: Context, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Return what `generator` yields, with every step of it run in `context`."""
    step: Callable[[], Any] = functools.partial(next, generator)
    try:
        while True:
            try:
                item = context.run(step)
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as exc:  # noqa: BLE001 - thrown in by the caller, handed on as it is
                step = functools.partial(generator.throw, exc)
            else:
                step = functools.partial(generator.send, sent)
    finally:
        context.run(generator.close)
