"""RAGFlow's OpenAI-compatible endpoint of agents: the `usage` of its answers is what the agent cost, no estimate."""

from __future__ import annotations

import contextvars
import functools
import json
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, current_scope, scope_variable
from ragmeter.meter import guard
from ragmeter.ragflow.drive import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_openai"]


def install_openai(hooks: Hooks, module: Any) -> None:
    """Put real counts into what `completion_openai` yields: events of a stream as text, a plain answer as a dict."""
    original: Callable[..., Any] = module.completion_openai

    @functools.wraps(original)
    async def completion_openai(*args: Any, **kwargs: Any) -> Any:
        around = current_scope()
        run = Run("completion_openai", around.run if around is not None else None)
        context = contextvars.copy_context()
        context.run(scope_variable.set, Scope(run, around))
        answers = drive(context, original(*args, **kwargs))
        try:
            async for answer in answers:
                yield _amended(answer, run)
        finally:
            await answers.aclose()

    hooks.set(module, "completion_openai", completion_openai)


def _amended(answer: Any, run: Run) -> Any:
    with guard("adding usage to an answer in OpenAI's shape"):
        if isinstance(answer, dict):
            return _with_usage(answer, run)
        if isinstance(answer, str) and answer.startswith("data:") and '"usage"' in answer:
            body = _with_usage(json.loads(answer[len("data:") :]), run)
            return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
    return answer


def _with_usage(body: dict[str, Any], run: Run) -> dict[str, Any]:
    """Replace the counts that are there; before the first call has ended there are none to put in.

    A stream may tell none at all: the chunk that ends a message, which says nothing else, tells them then.
    """
    usage = body.get("usage", ...)
    if run.calls and (isinstance(usage, dict) or (usage is None and _says_nothing(body))):
        body["usage"] = {**(usage or {}), **run.usage.openai()}
    return body


def _says_nothing(chunk: dict[str, Any]) -> bool:
    return not any((choice.get("delta") or {}).get("content") for choice in chunk.get("choices") or [])
