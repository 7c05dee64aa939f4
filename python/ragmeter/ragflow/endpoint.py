"""RAGFlow's OpenAI-compatible endpoints: the `usage` of an answer is what it has cost, no estimate."""

from __future__ import annotations

import contextvars
import functools
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, current_scope, scope_variable
from ragmeter.meter import guard
from ragmeter.ragflow.drive import drive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_agents", "install_chats"]

_chat: ContextVar[Run | None] = ContextVar("ragmeter_ragflow_chat", default=None)
"""The chat whose answer is on its way to the client."""


def install_agents(hooks: Hooks, module: Any) -> None:
    """Put real counts into what `completion_openai` yields: events of a stream as text, a plain answer as a dict."""
    hooks.set(module, "completion_openai", _counted(module.completion_openai))


def install_chats(hooks: Hooks, page: Any) -> None:
    """Do the same for chats, whose endpoint makes a plain answer of what `async_chat` yields, and sends it itself."""
    async_chat, jsonify = page.async_chat, page.jsonify

    @functools.wraps(async_chat)
    async def chat(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        answers = async_chat(*args, **kwargs)
        with guard("opening a chat of RAGFlow"):
            run, context = _open("async_chat")
            _chat.set(run)
            answers = drive(context, answers)
        async for answer in answers:
            yield answer

    @functools.wraps(jsonify)
    def send(*args: Any, **kwargs: Any) -> Any:
        with guard("adding usage to an answer in OpenAI's shape"):
            run = _chat.get()
            if run is not None and args and isinstance(args[0], dict):
                _chat.set(None)
                _with_usage(args[0], run)
        return jsonify(*args, **kwargs)

    hooks.set(page, "_stream_chat_completion_sse", _counted(page._stream_chat_completion_sse))
    hooks.set(page, "async_chat", chat)
    hooks.set(page, "jsonify", send)


def _counted(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def counted(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        answers, run = original(*args, **kwargs), None
        with guard("opening an answer of RAGFlow"):
            run, context = _open(original.__name__)
            answers = drive(context, answers)
        try:
            async for answer in answers:
                yield _amended(answer, run) if run is not None else answer
        finally:
            await answers.aclose()

    return counted


def _open(name: str) -> tuple[Run, contextvars.Context]:
    around = current_scope()
    run = Run(name, around.run if around is not None else None)
    context = contextvars.copy_context()
    context.run(scope_variable.set, Scope(run, around))
    return run, context


def _amended(answer: Any, run: Run) -> Any:
    with guard("adding usage to an answer in OpenAI's shape"):
        if isinstance(answer, dict):
            _with_usage(answer, run)
        elif isinstance(answer, str) and answer.startswith("data:") and '"usage"' in answer:
            body = json.loads(answer[len("data:") :])
            if _with_usage(body, run):
                return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
    return answer


def _with_usage(body: dict[str, Any], run: Run) -> bool:
    """Put the counts of the run where usage belongs; before the first call has ended there are none to put in.

    A stream may tell no usage at all: the chunk that ends a message, which says nothing else, tells it then.
    """
    usage = body.get("usage", ...)
    if not run.calls or not (isinstance(usage, dict) or (usage is None and _says_nothing(body))):
        return False
    body["usage"] = run.usage.openai()
    return True


def _says_nothing(chunk: dict[str, Any]) -> bool:
    deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or []]
    return not any(delta.get("content") or delta.get("reasoning_content") for delta in deltas)
