"""Turn: one run of a canvas, which is a ragmeter run in a context of its own."""

from __future__ import annotations

import contextvars
import time
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, current_scope, langfuse_run_attrs, scope_variable, token_usage_sink
from ragmeter.meter import guard
from ragmeter.ragflow.component import find_owners
from ragmeter.ragflow.names import new_sink, record_run_token_usage

if TYPE_CHECKING:
    from ragmeter._native import Call

__all__ = ["Turn"]

_KEYS = ("prompt_tokens", "completion_tokens", "total_tokens", "calls")
_LAST_EVENTS = frozenset({"message_end", "user_inputs"})
"""Events that may be the last one and get the usage so far."""


class Turn:
    """One run of a canvas, from its first step to its end.

    Attributes:
        context: What every step of it runs in.
    """

    def __init__(self, canvas: Any, kwargs: dict[str, Any], session: str | None, keep_calls: int) -> None:
        around = current_scope()
        name = _text(getattr(canvas, "_id", None))
        # Where RAGFlow's own sink is not there (before it is set, in releases without it) this one is.
        self._sink: Any = new_sink()
        self._ended = self._failed = False
        self._told: dict[str, Any] | None = None
        """The usage in the newest event."""
        self._run: Run | None = Run(name, around.run if around is not None else None, keep_calls, [self._hear])
        self._session = _text(kwargs.get("session_id")) or session
        scope = Scope(
            self._run,
            around,
            tenant=_text(getattr(canvas, "_tenant_id", None)),
            user=_text(kwargs.get("user_id")),
            session=self._session or name,
        )
        self.context: contextvars.Context = contextvars.copy_context()
        self.context.run(scope_variable.set, scope)
        self.context.run(token_usage_sink.set, self._sink)
        with guard("looking at the components of a canvas"):
            find_owners(canvas)

    def amend(self, event: Any) -> None:
        """Put the usage so far into an event that may be the last one."""
        self._tell_langfuse()
        self._told = None
        data = event.get("data") if isinstance(event, dict) else None
        if not isinstance(data, dict):
            return
        kind = event.get("event")
        # After a component has failed, RAGFlow ends the others of its batch and the run, and sends nothing more.
        self._failed |= kind == "node_finished" and bool(data.get("error"))
        if (
            kind in _LAST_EVENTS
            or (kind == "workflow_finished" and "usage" in data)
            or (kind == "node_finished" and self._failed)
        ):
            data["usage"] = self._told = self._usage()

    def last_words(self, canvas: Any) -> dict[str, Any] | None:
        """Return the event that tells the usage of a run that raised; None if the newest event did, or there is none.

        It is the event in which RAGFlow tells the usage of a run that was cancelled.
        """
        usage = self._usage()
        if not usage["calls"] or usage == self._told:
            return None
        frame = {"message_id": getattr(canvas, "message_id", None), "task_id": getattr(canvas, "task_id", None)}
        return {"event": "workflow_finished", "created_at": int(time.time()), **frame, "data": {"usage": usage}}

    def end(self) -> Run | None:
        """Let go of the run, which holds this as its listener, and of the context, which holds the run.

        The run is native: Python's collector does not see through it, and a cycle would stay for ever.
        """
        self._current()
        self._ended = True
        self.context = contextvars.Context()
        run, self._run = self._run, None
        return run

    def _usage(self) -> dict[str, Any]:
        sink = self._current()
        return {key: sink[key] for key in _KEYS}

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

    def _tell_langfuse(self) -> None:
        """Tell Langfuse the session that RAGFlow knows and does not hand to the run."""
        attrs = self.context.get(langfuse_run_attrs)
        if self._session is not None and isinstance(attrs, dict) and "session_id" in attrs:
            attrs["session_id"] = self._session[:200]
            self._session = None


def _add(sink: Any, prompt: int, completion: int) -> None:
    token_usage_sink.set(sink)
    record_run_token_usage(prompt, completion, prompt + completion)


def _text(value: Any) -> str | None:
    return str(value) if value else None
