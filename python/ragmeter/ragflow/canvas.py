"""Hooks into RAGFlow's canvas: every run of an agent is a ragmeter run, in a context of its own."""

from __future__ import annotations

import functools
import inspect
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter.meter import guard
from ragmeter.ragflow.drive import drive
from ragmeter.ragflow.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter._native import Run
    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_canvas"]


def install_canvas(hooks: Hooks, canvas: Any, *, keep_calls: int, on_run: Callable[[Run], object] | None) -> None:
    """Open a run around every run of the class `Canvas`."""
    original = canvas.run
    sessions = _watch_sessions(hooks, canvas)

    @functools.wraps(original)
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        turn = None
        with guard("opening a run of RAGFlow"):
            turn = Turn(self, kwargs, sessions.get(self), keep_calls)
        if turn is None:
            async for event in original(self, *args, **kwargs):
                yield event
            return
        events = drive(turn.context, original(self, *args, **kwargs))
        try:
            while True:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except Exception:
                    last = None
                    with guard("telling the usage of a failed run of RAGFlow"):
                        last = turn.last_words(self)
                    if last is not None:
                        yield last
                    raise
                with guard("adding usage to an event of RAGFlow"):
                    turn.amend(event)
                yield event
        finally:
            try:
                await events.aclose()
            finally:
                with guard("ending a run of RAGFlow"):
                    ended = turn.end()
                    if on_run is not None and ended is not None:
                        on_run(ended)

    hooks.set(canvas, "run", run)


def _watch_sessions(hooks: Hooks, canvas: Any) -> weakref.WeakKeyDictionary[Any, str]:
    """Canvas: the session that it was made for. Not every endpoint hands it to the run.

    RAGFlow names the task of a canvas after the session, or after the canvas where there is no session.
    """
    sessions: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
    original = canvas.__init__
    signature = inspect.signature(original)
    if not {"task_id", "canvas_id"} <= set(signature.parameters):
        return sessions

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        with guard("looking at a canvas of RAGFlow"):
            given = signature.bind(self, *args, **kwargs).arguments
            task = given.get("task_id")
            if task and task != given.get("canvas_id"):
                sessions[self] = str(task)

    hooks.set(canvas, "__init__", init)
    return sessions
