"""Gemini's API: running totals on every piece of a stream; thoughts stand beside what was written, not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Event, sse
from ragmeter.testing.dialects.dialect import Dialect, pieces
from ragmeter.testing.embeddings import tokens
from ragmeter.testing.fault import Fault
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError

FINISH = {"stop": "STOP", "length": "MAX_TOKENS"}
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


class Gemini(Dialect):
    """`:generateContent`, `:streamGenerateContent`, `:embedContent`, `:batchEmbedContents`."""

    PATHS = {  # noqa: RUF012
        r"/v1(beta1?)?/(.+/)?models/(?P<model>[^:/]+):(generateContent|streamGenerateContent)": "chat",
        r"/v1(beta1?)?/(.+/)?models/(?P<model>[^:/]+):(embedContent|batchEmbedContents)": "embeddings",
    }

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The request in OpenAI's shape."""
        config = body.get("generationConfig") or {}
        requests = body.get("requests") or [body]
        said = (
            [{"role": "system", "content": _text(body["systemInstruction"])}] if body.get("systemInstruction") else []
        )
        said += [{"role": turn.get("role", "user"), "content": _text(turn)} for turn in body.get("contents") or ()]
        size = requests[0].get("outputDimensionality") or (requests[0].get("embedContentConfig") or {}).get(
            "outputDimensionality"
        )
        return {
            "messages": [message | {"role": message["role"].replace("model", "assistant")} for message in said],
            "stream": path.endswith(":streamGenerateContent"),
            "max_tokens": config.get("maxOutputTokens"),
            "input": [_text(one.get("content") or {}) for one in requests],
            "dimensions": size,
            "one": path.endswith(":embedContent"),
            **({"response_format": {"type": "json_object"}} if "json" in str(config.get("responseMimeType")) else {}),
        }

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        return self._chunk(call, made, made.text, len(made.choices[0]), last=True)

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The pieces of a streamed answer."""
        whole = len(made.choices[0])
        for text in pieces(call, made) if whole else [""]:
            written = made.written - made.reasoning_tokens
            chunk = self._chunk(call, made, text, written, last=written == whole)
            yield Event(sse(chunk), counts=written == whole and call.honest)

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """Vectors, several or one."""
        size = call.body.get("dimensions") or dimensions
        vectors = [] if call.fault is Fault.EMPTY else [{"values": embed(str(text), size)} for text in found]
        cost = tokens(call, found)
        usage = {"usageMetadata": call.counts({"promptTokenCount": cost, "totalTokenCount": cost})}
        body = {"embedding": vectors[0]} if call.body["one"] and vectors else {"embeddings": vectors}
        return {**body, **(usage if usage["usageMetadata"] else {})}

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """Google's shape of an error."""
        error = {"code": refusal.status, "message": str(refusal), "status": STATUS.get(refusal.status, "UNKNOWN")}
        return {}, {"error": error}

    def _chunk(self, call: Call, made: Generation, text: str, written: int, *, last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if last:
            candidate["finishReason"] = FINISH[made.finish]
        counts = call.counts({
            "promptTokenCount": made.prompt_tokens,
            "candidatesTokenCount": written,
            "thoughtsTokenCount": made.reasoning_tokens,
            "cachedContentTokenCount": made.cached_tokens,
            "totalTokenCount": made.prompt_tokens + written + made.reasoning_tokens,
        })  # fmt: skip
        usage = {"usageMetadata": counts} if counts else {}
        return {"candidates": [candidate], **usage, "modelVersion": call.model, "responseId": call.id}


def _text(content: Any) -> str:
    parts = content.get("parts") if isinstance(content, dict) else None
    return "\n".join(str(part.get("text", "")) for part in parts or ())
