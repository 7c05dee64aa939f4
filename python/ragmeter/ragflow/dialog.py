"""Hooks into RAGFlow's chats: what they tell Langfuse beside their bundle, which tells it the usage already."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_dialog"]


def install_dialog(hooks: Hooks, module: Any) -> None:
    """Let the generation that a chat opens around its bundle's own be a span: Langfuse adds up generations."""
    original: Callable[..., Any] = module.Langfuse

    @functools.wraps(original, updated=())
    def langfuse(*args: Any, **kwargs: Any) -> Any:
        return _Client(original(*args, **kwargs))

    hooks.set(module, "Langfuse", langfuse)


class _Client:
    """Stands in for a client of the SDK that starts spans in place of generations."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def start_observation(self, **kwargs: Any) -> Any:
        if kwargs.get("as_type") != "generation":
            return self._client.start_observation(**kwargs)
        kwargs.setdefault("metadata", {"model": kwargs.pop("model", None)})
        kwargs.pop("model", None)
        return _Span(self._client.start_observation(**{**kwargs, "as_type": "span"}))


class _Span:
    """A span; the usage that a generation would be told is left out."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def update(self, **kwargs: Any) -> Any:
        kwargs.pop("usage_details", None)
        return self._span.update(**kwargs)
