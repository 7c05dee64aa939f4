"""Observer of model APIs that are called through plain `aiohttp`: embeddings, rerankers, chats.

LightRAG's Jina binding and its rerankers call their providers so. A request is looked at only if its path ends as those
of the known APIs do and its body has what such an API needs; everything else passes untouched. What an SDK sends
through aiohttp is the business of the observer of that SDK.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from ragmeter.observe.content import tap_content
from ragmeter.observe.estimate import flat
from ragmeter.observe.exchange import Exchange, under_way
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.watch import watch

__all__ = ["plan"]

_NEEDS = {
    "/rerank": ("rerank", ("query", "documents")),
    "/text-rerank": ("rerank", ("query", "documents")),
    "/embeddings": ("embeddings", ("input",)),
    "/embed": ("embeddings", ("texts", "inputs")),
    "/chat/completions": ("chat", ("messages",)),
    "/v1/messages": ("chat", ("messages",)),
    "/v2/chat": ("chat", ("messages",)),
    "/api/chat": ("chat", ("messages",)),
}
"""End of a path: what it does, and what its body has one of at least."""

_PROVIDERS = {
    "api.jina.ai": "jina",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "api.voyageai.com": "voyageai",
    "api.openai.com": "openai",
    "api.siliconflow.cn": "siliconflow",
}

_STREAMS = ("event-stream", "ndjson", "jsonl", "json-seq")
"""Kinds of content that come in pieces."""


def plan() -> Patches:
    """Plan to observe the library."""
    from aiohttp import ClientSession

    patches = Patches()
    patches.plan(ClientSession, "_request", watch(required(ClientSession, "_request"), _begin, _answered))
    return patches


def _begin(_session: Any, method: str, str_or_url: Any, **options: Any) -> Exchange | None:
    if method.upper() != "POST" or under_way.get() is not None:
        return None
    url = urlsplit(str(str_or_url))
    path = url.path.rstrip("/")
    ending = next((ending for ending in _NEEDS if path.endswith(ending)), None)
    if ending is None:
        return None
    operation, needs = _NEEDS[ending]
    body = _body(options)
    asked = {**body, **body["input"]} if isinstance(body.get("input"), dict) else body  # DashScope
    if not any(need in asked for need in needs):
        return None
    return Exchange(operation, body.get("model"), _PROVIDERS.get(url.hostname or ""), lambda: _in_openai_shape(asked))


def _body(options: dict[str, Any]) -> dict[str, Any]:
    body = options.get("json")
    if body is None and isinstance(options.get("data"), (str, bytes)):
        try:
            body = json.loads(options["data"])
        except ValueError:
            return {}
    return body if isinstance(body, dict) else {}


def _answered(exchange: Exchange, response: Any) -> Any:
    if response.ok:
        kind = response.headers.get("content-type", "")
        tap_content(response, exchange, events=any(name in kind for name in _STREAMS))
    else:
        exchange.refused()
    return response


def _in_openai_shape(body: dict[str, Any]) -> dict[str, Any]:
    if "messages" in body:
        return body
    texts = [body.get(name) for name in ("query", "documents", "input", "inputs", "texts")]
    return {"model": body.get("model"), "input": flat(texts)}
