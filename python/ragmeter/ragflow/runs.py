"""Runs: all that makes each run of an agent a ragmeter run, put together; each part has a page of its own."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from ragmeter import arrival
from ragmeter.observe import awaited, instrument, instrumented, uninstrument
from ragmeter.ragflow import calls, threads
from ragmeter.ragflow.bundle import install_bundle, install_model
from ragmeter.ragflow.canvas import install_canvas
from ragmeter.ragflow.component import install_component, install_tools
from ragmeter.ragflow.dialog import install_dialog
from ragmeter.ragflow.endpoint import install_agents, install_chats
from ragmeter.ragflow.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["FUNCTIONS", "NEEDED", "install", "uninstall"]

NEEDED = {
    "agent.canvas": ("Canvas", "Canvas.run"),
    "api.db.services.llm_service": (
        "LLMBundle",
        *(
            f"LLMBundle.{method}"
            for method in (
                "async_chat",
                "async_chat_streamly",
                "encode",
                "encode_queries",
                "similarity",
                "describe",
                "transcription",
                "tts",
            )
        ),
    ),
}
"""Module of RAGFlow: names without which it cannot be metered."""

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "usage_from_response": calls.usage_from_response,
    "total_token_count_from_response": calls.total_token_count_from_response,
}
"""Token functions that look at answers as they pass."""

_replaced = Hooks()
_observed: set[str] = set()
"""SDKs that nobody observed, or waited for, before."""
_canvas_hook: list[Callable[[ModuleType], object]] = []


def _bundle(module: ModuleType) -> None:
    install_bundle(_replaced, module.LLMBundle)


def _models(module: ModuleType) -> None:
    for name in ("Base", "LiteLLMBase"):
        model = getattr(module, name, None)
        if isinstance(model, type) and "last_usage" not in vars(model):
            install_model(_replaced, model)


def _component(module: ModuleType) -> None:
    if isinstance(getattr(module, "ComponentBase", None), type):
        install_component(_replaced, module.ComponentBase)


def _tools(module: ModuleType) -> None:
    if isinstance(getattr(module, "LLMToolPluginCallSession", None), type):
        install_tools(_replaced, module.LLMToolPluginCallSession)


def _dialog(module: ModuleType) -> None:
    if callable(getattr(module, "Langfuse", None)):
        install_dialog(_replaced, module)


def _agents(module: ModuleType) -> None:
    if inspect.isasyncgenfunction(getattr(module, "completion_openai", None)):
        install_agents(_replaced, module)


def _chats(_: ModuleType) -> None:
    # RAGFlow loads its pages past the import system, while `api.apps` is imported.
    page = sys.modules.get("api.apps.restful_apis.openai_api")
    if all(callable(getattr(page, name, None)) for name in ("_stream_chat_completion_sse", "async_chat", "jsonify")):
        install_chats(_replaced, page)


_HOOKS = {
    "api.db.services.llm_service": _bundle,
    "rag.llm.chat_model": _models,
    "agent.component.base": _component,
    "agent.tools.base": _tools,
    "api.apps": _chats,
    "api.db.services.canvas_service": _agents,
    "api.db.services.dialog_service": _dialog,
}


def install(*, keep_calls: int = 0, on_run: Callable[[Any], object] | None = None) -> None:
    """Hook into what of RAGFlow is imported, and into the rest when it is."""

    def canvas(module: ModuleType) -> None:
        install_canvas(_replaced, module.Canvas, keep_calls=keep_calls, on_run=on_run)

    threads.install(_replaced)
    before = instrumented() | awaited()
    instrument()  # whatever SDK RAGFlow's models call
    _observed.update((instrumented() | awaited()) - before)
    _canvas_hook.append(canvas)
    arrival.when_imported("agent.canvas", canvas)
    for name, hook in _HOOKS.items():
        arrival.when_imported(name, hook)


def uninstall() -> None:
    """Put back everything."""
    for hook in (*_HOOKS.values(), *_canvas_hook):
        arrival.forget(hook)
    _canvas_hook.clear()
    _replaced.undo()
    if _observed:
        uninstrument(*_observed)
        _observed.clear()
