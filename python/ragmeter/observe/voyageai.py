"""Observer of the `voyageai` SDK (0.2 to 0.5): embeddings of every kind and reranking, sync and async.

One place sees every attempt, for the SDK retries above it: `APIRequestor.request` and `arequest`. Models that run
locally send no request and are none of an observer's business.
"""

from __future__ import annotations

from typing import Any

from ragmeter.observe.exchange import Exchange
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.watch import read, watch

__all__ = ["plan"]

_OPERATIONS = {
    "/embeddings": "embeddings",
    "/contextualizedembeddings": "embeddings",
    "/multimodalembeddings": "embeddings",
    "/rerank": "rerank",
}


def plan() -> Patches:
    """Plan to observe the SDK."""
    from voyageai.api_resources.api_requestor import APIRequestor

    patches = Patches()
    for name in ("request", "arequest"):
        patches.plan(APIRequestor, name, watch(required(APIRequestor, name), _begin, _answered))
    return patches


def _begin(_requestor: Any, _method: str, url: str, params: Any = None, *_: Any, **__: Any) -> Exchange | None:
    operation = _OPERATIONS.get(url)
    if operation is None or not isinstance(params, dict):
        return None
    return Exchange(operation, params.get("model"), "voyageai", lambda: _in_openai_shape(params))


def _answered(exchange: Exchange, result: Any) -> Any:
    read(exchange, getattr(result, "data", None))
    return result


def _in_openai_shape(body: dict[str, Any]) -> dict[str, Any]:
    texts = [body.get(name) for name in ("query", "documents", "input", "inputs")]
    return {"model": body.get("model"), "input": [text for text in texts if text is not None]}
