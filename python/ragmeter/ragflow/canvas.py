"""Hooks into RAGFlow's canvas: every run of an agent is a ragmeter run, in a context of its own."""

from __future__ import annotations

import contextvars
import functools
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, current_scope, scope_variable, token_usage_sink
from ragmeter.context import within
from ragmeter.meter import guard
from ragmeter.ragflow.bundle import owners
from ragmeter.ragflow.drive import drive
from ragmeter.ragflow.names import new_sink, record_run_token_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter._native import Call
    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_canvas", "install_component", "install_tools"]

_LAST_EVENTS = frozenset({"message_end", "user_inputs"})
"""Events that may be the last one and get the usage so far."""


def install_canvas(hooks: Hooks, canvas: Any, *, keep_calls: int, on_run: Callable[[Run], object] | None) -> None:
    """Open a run around every run of the class `Canvas`."""
    original = canvas.run

    @functools.wraps(original)
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        turn = None
        with guard("opening a run of RAGFlow"):
            turn = _Turn(self, kwargs, keep_calls)
        if turn is None:
            async for event in original(self, *args, **kwargs):
                yield event
            return
        events = drive(turn.context, original(self, *args, **kwargs))
        try:
            async for event in events:
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


class _Turn:
    """One run of a canvas."""

    def __init__(self, canvas: Any, kwargs: dict[str, Any], keep_calls: int) -> None:
        around = current_scope()
        name = _text(getattr(canvas, "_id", None))
        # Where RAGFlow's own sink is not there (before it is set, in releases without it) this one is.
        self._sink: Any = new_sink()
        self._ended = False
        self.run: Run | None = Run(name, around.run if around is not None else None, keep_calls, [self._hear])
        scope = Scope(
            self.run,
            around,
            tenant=_text(getattr(canvas, "_tenant_id", None)),
            user=_text(kwargs.get("user_id")),
            session=_text(kwargs.get("session_id")) or name,
        )
        self.context: contextvars.Context = contextvars.copy_context()
        self.context.run(scope_variable.set, scope)
        self.context.run(token_usage_sink.set, self._sink)
        with guard("looking at the components of a canvas"):
            _find_owners(canvas)

    def _hear(self, call: Call) -> None:
        """Add a call to the sink of the run, which RAGFlow reads and sends."""
        usage = call.usage
        prompt, completion = usage.input_tokens or 0, usage.output_tokens or 0
        contextvars.Context().run(_add, self._current(), prompt, completion)

    def _current(self) -> Any:
        """The sink of the run: RAGFlow's own as soon as it has set it."""
        theirs = None if self._ended else self.context.get(token_usage_sink)
        if theirs is not None and theirs is not self._sink:
            ours, self._sink = self._sink, theirs
            for key, count in ours.items():
                theirs[key] += count
        return self._sink

    def end(self) -> Run | None:
        """Let go of the run, which holds this as its listener, and of the context, which holds the run.

        The run is native: Python's collector does not see through it, and a cycle would stay for ever.
        """
        self._current()
        self._ended = True
        self.context = contextvars.Context()
        run, self.run = self.run, None
        return run

    def amend(self, event: Any) -> None:
        """Put the usage so far into an event that ends a message or the run."""
        data = event.get("data") if isinstance(event, dict) else None
        if not isinstance(data, dict):
            return
        kind = event.get("event")
        if kind in _LAST_EVENTS or (kind == "workflow_finished" and "usage" in data) or _failed(kind, data):
            sink = self._current()
            data["usage"] = {key: sink[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens", "calls")}


def _failed(kind: Any, data: dict[str, Any]) -> bool:
    """Whether a component failed; a run may end with it and send nothing more."""
    return kind == "node_finished" and bool(data.get("error"))


def _add(sink: Any, prompt: int, completion: int) -> None:
    token_usage_sink.set(sink)
    record_run_token_usage(prompt, completion, prompt + completion)


def _text(value: Any) -> str | None:
    return str(value) if value else None


def _find_owners(canvas: Any) -> None:
    """Note which component each bundle belongs to; a component that streams calls its model after it has returned."""
    for name, component in (getattr(canvas, "components", None) or {}).items():
        _find_owner(name, component.get("obj") if isinstance(component, dict) else None, {})


def _find_owner(component: str, obj: Any, labels: dict[str, str]) -> None:
    for value in list(getattr(obj, "__dict__", {}).values()):
        if hasattr(value, "mdl") and hasattr(value, "model_config"):
            owners[value] = {"component": component, **labels}
    tools = getattr(obj, "tools", None)
    if isinstance(tools, dict):
        for name, tool in tools.items():
            _find_owner(component, tool, {"tool": str(name)})


def install_component(hooks: Hooks, base: Any) -> None:
    """Label the calls of each component with its id."""
    for method, wrapper in (("invoke", _labelled), ("invoke_async", _labelled_async)):
        original = vars(base).get(method)
        if original is not None:
            hooks.set(base, method, wrapper(original, _component_labels))


def install_tools(hooks: Hooks, session: Any) -> None:
    """Label the calls of each tool with its name."""
    original = vars(session).get("tool_call_async")
    if original is not None:
        hooks.set(session, "tool_call_async", _labelled_async(original, _tool_labels))


def _component_labels(component: Any, *_: Any) -> dict[str, str | None]:
    return {"component": _text(getattr(component, "_id", None))}


def _tool_labels(_: Any, args: Any, kwargs: Any) -> dict[str, str | None]:
    return {"tool": _text(args[0] if args else kwargs.get("name"))}


def _scope(labels: Callable[..., dict[str, str | None]], *arguments: Any) -> Scope | None:
    with guard("labelling a component of RAGFlow"):
        around = current_scope()
        if around is not None and around.run is not None:
            return Scope(None, around, **labels(*arguments))
    return None


def _labelled(original: Callable[..., Any], labels: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def labelled(self: Any, *args: Any, **kwargs: Any) -> Any:
        scope = _scope(labels, self, args, kwargs)
        if scope is None:
            return original(self, *args, **kwargs)
        with within(scope):
            return original(self, *args, **kwargs)

    return labelled


def _labelled_async(original: Callable[..., Any], labels: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def labelled(self: Any, *args: Any, **kwargs: Any) -> Any:
        scope = _scope(labels, self, args, kwargs)
        if scope is None:
            return await original(self, *args, **kwargs)
        with within(scope):
            return await original(self, *args, **kwargs)

    return labelled
