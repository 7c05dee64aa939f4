"""LoLLMs: text in, text out, and no word of what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Event
from ragmeter.testing.dialects.dialect import Dialect, pieces
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation


class Lollms(Dialect):
    """`/lollms_generate` and `/lollms_embed`."""

    PATHS = {"/lollms_generate": "chat", "/lollms_embed": "embeddings"}  # noqa: RUF012
    STREAM_TYPE = "text/plain; charset=utf-8"

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The request in OpenAI's shape."""
        messages = [{"role": "user", "content": body.get("prompt", "")}]
        model = body.get("model_name") or "lollms"
        return {
            **body,
            "model": model,
            "messages": messages,
            "max_tokens": body.get("n_predict"),
            "input": body.get("text"),
        }

    def plain(self, call: Call, made: Generation) -> Any:  # noqa: ARG002
        """The text itself."""
        return made.text

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The text, a line at a time."""
        for piece in pieces(call, made):
            yield Event(piece.replace("\n", " ").encode() + b"\n")

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:  # noqa: ARG002
        """One vector."""
        return {"vector": embed(str(found[0]), dimensions)}
