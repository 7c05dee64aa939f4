"""Observer of the `google.genai` SDK: content, plain and streamed, and embeddings; Gemini and Vertex AI.

One place sees every request, also those that a chat or a function call makes by itself: the four request methods of
`BaseApiClient` (releases 1.20 to 3.4). Counting tokens, caches and files cost no tokens and are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.observe.exchange import Exchange
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.watch import hear, read, watch, watch_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["plan"]

_OPERATIONS = {
    ":generateContent": "chat",
    ":streamGenerateContent": "chat",
    ":embedContent": "embeddings",
    ":batchEmbedContents": "embeddings",
}


def plan() -> Patches:
    """Plan to observe the SDK."""
    from google.genai._api_client import BaseApiClient

    patches = Patches()
    answered: dict[str, Callable[[Exchange, Any], Any]] = {
        "request": _answered,
        "async_request": _answered,
        "request_streamed": _streamed,
        "async_request_streamed": _streamed_async,
    }
    for name, hear_answer in answered.items():
        patches.plan(BaseApiClient, name, watch(required(BaseApiClient, name), _begin, hear_answer))
    for name in ("_request_once", "_async_request_once"):
        if hasattr(BaseApiClient, name):
            patches.plan(BaseApiClient, name, watch_attempts(getattr(BaseApiClient, name)))
    return patches


def _begin(
    client: Any, http_method: str, path: str, request_dict: Mapping[str, Any], *_: Any, **__: Any
) -> Exchange | None:
    ending = ":" + path.partition("?")[0].rpartition(":")[2]
    operation = _OPERATIONS.get(ending)
    if operation is None or http_method.lower() != "post":
        return None
    model = path.rpartition(":")[0].rpartition("/")[2]
    provider = "gcp.vertex_ai" if getattr(client, "vertexai", False) else "gcp.gemini"
    return Exchange(operation, model, provider, lambda: _in_openai_shape(model, request_dict))


def _body(answer: Any) -> str:
    """The JSON of an answer, or of a piece of one, on a line of its own."""
    return (getattr(answer, "body", None) or "") + "\n"


def _answered(exchange: Exchange, result: Any) -> Any:
    read(exchange, _body(result))
    return result


def _streamed(exchange: Exchange, result: Any) -> Any:
    return hear(exchange, result, content=_body)


def _streamed_async(exchange: Exchange, result: Any) -> Any:
    return hear(exchange, result, sent=True, content=_body)


def _in_openai_shape(model: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    contents = [body.get("systemInstruction"), *_list(body.get("contents"))]
    if requests := _list(body.get("requests")):
        return {"model": model, "input": [_text(request.get("content")) for request in requests]}
    messages = [{"role": content.get("role", "user"), "content": _text(content)} for content in contents if content]
    return {"model": model, "messages": messages, "input": [_text(body.get("content"))]}


def _text(content: Any) -> str:
    parts = _list(content.get("parts")) if isinstance(content, dict) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []
