"""Ollama's own API: JSON lines, and the counts among the other members of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Event, dump
from ragmeter.testing.dialects.dialect import Dialect, pieces
from ragmeter.testing.embeddings import tokens
from ragmeter.testing.fault import Fault
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError

TIMES = {"total_duration": 5_000_000, "load_duration": 1_000_000}


class Ollama(Dialect):
    """`/api/chat`, `/api/generate`, `/api/embed` and the older `/api/embeddings`, which says nothing of its cost."""

    PATHS = {"/api/chat": "chat", "/api/generate": "chat", "/api/embed(dings)?": "embeddings"}  # noqa: RUF012
    STREAM_TYPE = "application/x-ndjson"

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The request in OpenAI's shape."""
        options = body.get("options") or {}
        wanted = {"response_format": {"type": "json_object"}} if body.get("format") else {}
        if path == "/api/generate":
            said = [{"role": "system", "content": body["system"]}] if body.get("system") else []
            messages: Any = [*said, {"role": "user", "content": body.get("prompt", "")}]
        else:
            messages = body.get("messages")
        limit = options.get("num_predict")
        return {
            "model": body.get("model"),
            "messages": messages,
            "stream": body.get("stream", True),
            "max_tokens": limit if isinstance(limit, int) and limit > 0 else None,
            "input": body.get("input", body.get("prompt")),
            "dimensions": body.get("dimensions"),
            "path": path,
            **wanted,
        }

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        return self._last(call, made, made.text)

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The lines of a streamed answer."""
        for piece in pieces(call, made):
            yield Event(dump({**self._said(call, piece), "done": False}) + b"\n")
        yield Event(dump(self._last(call, made, "")) + b"\n", counts=call.honest)

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """Vectors, several or one."""
        size = call.body.get("dimensions") or dimensions
        vectors = [] if call.fault is Fault.EMPTY else [embed(str(text), size) for text in found]
        if call.body["path"] == "/api/embeddings":
            return {"embedding": vectors[0] if vectors else []}
        return {
            "model": call.model,
            "embeddings": vectors,
            **TIMES,
            **call.counts({"prompt_eval_count": tokens(call, found)}),
        }

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """An error is a text."""
        return {}, {"error": str(refusal)}

    def _said(self, call: Call, text: str) -> dict[str, Any]:
        head = {"model": call.model, "created_at": "2026-11-22T00:00:00.000000Z"}
        if call.body["path"] == "/api/generate":
            return {**head, "response": text}
        return {**head, "message": {"role": "assistant", "content": text}}

    def _last(self, call: Call, made: Generation, text: str) -> dict[str, Any]:
        counts = call.counts({"prompt_eval_count": made.prompt_tokens, "eval_count": made.completion_tokens})
        return {**self._said(call, text), "done_reason": made.finish, "done": True, **TIMES, **counts}
