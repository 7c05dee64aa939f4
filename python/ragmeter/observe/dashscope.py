"""Observer of the `dashscope` SDK: generation from text and other media, embeddings and reranking, sync and async.

One place sees every request that goes over HTTP, and the SDK does not try again by itself: `HttpRequest.call` and
`aio_call` (1.25 and 2.0 were tried). It returns what a server refuses, and raises nothing. What goes over web sockets
(speech) and what is only queued (`async_call`) say no tokens there.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ragmeter.observe.estimate import flat
from ragmeter.observe.exchange import Exchange
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.watch import Pieces, apassed, passed, read, watch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["plan"]

_OPERATIONS = {
    "/text-generation/generation": "chat",
    "/multimodal-generation/generation": "chat",
    "/text-embedding/text-embedding": "embeddings",
    "/multimodal-embedding/multimodal-embedding": "embeddings",
    "/text-rerank/text-rerank": "rerank",
}

_FIRST_ERROR = 400


def plan() -> Patches:
    """Plan to observe the SDK."""
    from dashscope.api_entities.http_request import HttpRequest

    patches = Patches()
    for name in ("call", "aio_call"):
        patches.plan(HttpRequest, name, watch(required(HttpRequest, name, own=True), _begin, _answered))
    return patches


def _begin(request: Any) -> Exchange | None:
    path = request.url.partition("?")[0]
    operation = next((what for ending, what in _OPERATIONS.items() if path.endswith(ending)), None)
    if operation is None or request.async_request:
        return None
    data = request.data
    return Exchange(operation, data.model, "dashscope", lambda: _in_openai_shape(data))


def _answered(exchange: Exchange, result: Any) -> Any:
    if inspect.isgenerator(result):
        return passed(_Pieces(exchange), result)
    if inspect.isasyncgen(result):
        return apassed(_Pieces(exchange), result)
    if _refused(result):
        exchange.refused()
    else:
        read(exchange, result)
    return result


def _refused(answer: Any) -> bool:
    status = answer.get("status_code") if isinstance(answer, dict) else None
    return isinstance(status, int) and status >= _FIRST_ERROR


class _Pieces(Pieces):
    """Pieces that may each hold all the text so far, and the first of which may be a refusal."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange, self._new)
        self._text = ""

    def feed(self, piece: Any) -> None:
        if _refused(piece):
            self.refused()
        else:
            super().feed(piece)

    def _new(self, piece: Any) -> Any:
        """The piece with nothing but what it adds to the text."""
        text = _text_of(piece.get("output"))
        new = text[len(self._text) :] if text.startswith(self._text) else text
        self._text = text if text.startswith(self._text) else self._text + text
        return {"request_id": piece.get("request_id"), "output": {"text": new}, "usage": piece.get("usage")}


def _text_of(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    said = [
        output.get("text"),
        *((choice.get("message") or {}).get("content") for choice in output.get("choices") or ()),
    ]
    return _joined(said)


def _joined(content: Any) -> str:
    return "\n".join(text for text in flat(content) if isinstance(text, str))


def _in_openai_shape(data: Any) -> Mapping[str, Any]:
    """The request, whose `input` is there once it has been sent."""
    asked = getattr(data, "input", None) or getattr(data, "_input", None)
    asked = asked if isinstance(asked, dict) else {}
    if "messages" in asked:
        messages = [{**message, "content": _joined(message.get("content"))} for message in asked["messages"]]
        return {"model": data.model, "messages": messages}
    texts = [asked.get(name) for name in ("query", "documents", "texts", "contents", "prompt")]
    return {"model": data.model, "input": flat(texts)}
