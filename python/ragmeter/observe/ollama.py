"""Observer of the `ollama` SDK: sync and async, chat, generate, embed and embeddings, plain and streamed.

One place sees every call, those of the module's own functions too: `Client._request` and `AsyncClient._request` (0.4 to
0.6). An answer whose prompt the server had cached leaves its input out: it is unknown then, not 0.
"""

from __future__ import annotations

from typing import Any

from ragmeter.observe.exchange import Exchange
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.watch import watch

__all__ = ["plan"]

_OPERATIONS = {
    "/api/chat": "chat",
    "/api/generate": "chat",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
}


def plan() -> Patches:
    """Plan to observe the SDK."""
    from ollama import AsyncClient, Client

    patches = Patches()
    for client in (Client, AsyncClient):
        patches.plan(client, "_request", watch(required(client, "_request"), _begin))
    return patches


def _begin(_client: Any, _cls: Any, _method: str = "", path: str = "", **options: Any) -> Exchange | None:
    operation = _OPERATIONS.get(path)
    body = options.get("json")
    if operation is None or not isinstance(body, dict):
        return None
    return Exchange(operation, body.get("model"), "ollama", lambda: _in_openai_shape(body))


def _in_openai_shape(body: dict[str, Any]) -> dict[str, Any]:
    if "messages" in body:
        return body
    return {**body, "input": body.get("input", body.get("prompt")), "instructions": body.get("system")}
