"""Anthropic's Messages API: what was cached stands beside the input; a stream counts in its first and last events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Event, sse
from ragmeter.testing.dialects.dialect import Dialect, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError

FINISH = {"stop": "end_turn", "length": "max_tokens"}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error"}


class Anthropic(Dialect):
    """`/v1/messages`."""

    PATHS = {"/v1/messages": "chat"}  # noqa: RUF012

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The request in OpenAI's shape."""
        said = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        return {**body, "messages": [*said, *body.get("messages", ())]}

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        return {
            **self._head(call),
            "content": [{"type": "text", "text": made.text}],
            "stop_reason": FINISH[made.finish],
            "stop_sequence": None,
            **self._usage(call, {**_input(made), "output_tokens": made.completion_tokens}),
        }

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The events of a streamed answer."""
        head = {**self._head(call), "content": [], "stop_reason": None, "stop_sequence": None}
        head |= self._usage(call, {**_input(made), "output_tokens": 1})
        yield _event("message_start", message=head)
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield _event("ping")
        for piece in pieces(call, made):
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield _event("content_block_stop", index=0)
        delta = {"stop_reason": FINISH[made.finish], "stop_sequence": None}
        usage = self._usage(call, {**_input(made), "output_tokens": made.completion_tokens})
        yield Event(sse({"type": "message_delta", "delta": delta, **usage}, "message_delta"), counts=call.honest)
        yield _event("message_stop")

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """Anthropic's shape of an error."""
        error = {"type": KINDS.get(refusal.status, "not_found_error"), "message": str(refusal)}
        return refusal.headers, {"type": "error", "error": error}

    def _head(self, call: Call) -> dict[str, Any]:
        return {"id": call.id, "type": "message", "role": "assistant", "model": call.model}

    def _usage(self, call: Call, counts: dict[str, int]) -> dict[str, Any]:
        # The SDK takes an answer for one without usage only if the object is there.
        return {"usage": call.counts(counts)}


def _input(made: Generation) -> dict[str, int]:
    read = made.cached_tokens
    return {
        "input_tokens": made.prompt_tokens - read,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": read,
    }


def _event(name: str, **content: Any) -> Event:
    return Event(sse({"type": name, **content}, name))
