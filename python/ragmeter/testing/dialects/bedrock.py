"""Amazon Bedrock: Converse and InvokeModel, with Amazon's event streams and the counts in its headers."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Event, dump
from ragmeter.testing.dialects.dialect import Dialect, pieces
from ragmeter.testing.fault import Fault
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError

FINISH = {"stop": "end_turn", "length": "max_tokens"}
KINDS = {429: "ThrottlingException", 500: "InternalServerException", 400: "ValidationException"}
TEXT = 7
"""Type of a header value in Amazon's event streams."""


class Bedrock(Dialect):
    """`/model/{id}/converse`, `converse-stream`, `invoke` and `invoke-with-response-stream`.

    What is invoked speaks as Claude does, or embeds as Titan and Cohere do, where its id says `embed`.
    """

    PATHS = {  # noqa: RUF012
        r"/model/(?P<model>[^/]*embed[^/]*)/invoke": "embeddings",
        r"/model/(?P<model>.+)/(converse|converse-stream|invoke|invoke-with-response-stream)": "chat",
    }
    STREAM_TYPE = "application/vnd.amazon.eventstream"

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The request in OpenAI's shape."""
        said = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        return {
            "messages": [*said, *body.get("messages", ())],
            "max_tokens": (body.get("inferenceConfig") or body).get("maxTokens", body.get("max_tokens")),
            "stream": path.endswith("stream"),
            "input": body.get("texts") or body.get("inputText"),
            "dimensions": body.get("dimensions"),
            "converse": "/converse" in path,
            "titan": "inputText" in body,
        }

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        if not call.body["converse"]:
            counts = call.counts({"input_tokens": made.prompt_tokens, "output_tokens": made.completion_tokens})
            content = [{"type": "text", "text": made.text}]
            return {"id": call.id, "type": "message", "role": "assistant", "content": content, "usage": counts}
        message = {"role": "assistant", "content": [{"text": made.text}]}
        usage = {"usage": counts} if (counts := self._usage(call, made)) else {}
        return {"output": {"message": message}, "stopReason": FINISH[made.finish], **usage, "metrics": {"latencyMs": 5}}

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The events of a streamed answer."""
        if not call.body["converse"]:
            yield from self._invoked(call, made)
            return
        yield Event(frame("messageStart", {"role": "assistant"}))
        for piece in pieces(call, made):
            yield Event(frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}))
        yield Event(frame("contentBlockStop", {"contentBlockIndex": 0}))
        yield Event(frame("messageStop", {"stopReason": FINISH[made.finish]}))
        usage = {"usage": counts} if (counts := self._usage(call, made)) else {}
        yield Event(frame("metadata", {**usage, "metrics": {"latencyMs": 5}}), counts=call.honest)

    def _invoked(self, call: Call, made: Generation) -> Iterator[Event]:
        for piece in pieces(call, made):
            yield _chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        counts = call.counts({
            "inputTokenCount": made.prompt_tokens - made.cached_tokens,
            "outputTokenCount": made.completion_tokens,
            "cacheReadInputTokenCount": made.cached_tokens,
            "cacheWriteInputTokenCount": 0,
        })  # fmt: skip
        metrics = {"amazon-bedrock-invocationMetrics": counts} if counts else {}
        yield _chunk({"type": "message_stop", **metrics}, counts=call.honest)

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """Vectors, of Titan or of Cohere; how many tokens they took stands in the headers."""
        vectors = [] if call.fault is Fault.EMPTY else [embed(str(text), dimensions) for text in found]
        if call.body["titan"]:
            return {"embedding": vectors[0] if vectors else []}
        return {"id": call.id, "embeddings": vectors, "response_type": "embeddings_floats"}

    def headers(self, call: Call, prompt_tokens: int, completion_tokens: int) -> dict[str, str]:
        """The counts of what was invoked."""
        if call.body["converse"] or not call.honest:
            return {}
        counts = {"x-amzn-bedrock-input-token-count": str(prompt_tokens)}
        if call.api == "chat":
            counts["x-amzn-bedrock-output-token-count"] = str(completion_tokens)
        return counts

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """Amazon's shape of an error."""
        kind = KINDS.get(refusal.status, "ResourceNotFoundException")
        return {"x-amzn-errortype": kind}, {"message": str(refusal)}

    def _usage(self, call: Call, made: Generation) -> dict[str, Any]:
        read = made.cached_tokens
        return call.counts({
            "inputTokens": made.prompt_tokens - read,
            "outputTokens": made.completion_tokens,
            "totalTokens": made.prompt_tokens + made.completion_tokens,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokens": 0,
        })  # fmt: skip


def _chunk(content: dict[str, Any], *, counts: bool = False) -> Event:
    return Event(frame("chunk", {"bytes": base64.b64encode(json.dumps(content).encode()).decode()}), counts=counts)


def frame(kind: str, content: dict[str, Any]) -> bytes:
    """A message of Amazon's event stream: lengths, headers, payload, each half with its checksum."""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", TEXT, len(value)) + value.encode()
        for name, value in names.items()
    )
    payload = dump(content)
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))
