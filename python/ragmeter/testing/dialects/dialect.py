"""Dialect: another provider's protocol. It says a request in OpenAI's shape, and an answer in its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from ragmeter.testing import embeddings, rerank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragmeter.testing.call import Call, Event
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError
    from ragmeter.testing.route import Route


class Dialect:
    """One provider. The desk bills a request as if it were OpenAI's; a subclass translates."""

    PATHS: ClassVar[Mapping[str, str]] = {}
    """Pattern of a path, with the group `model` where it names one: `chat`, `embeddings` or `rerank`."""

    STREAM_TYPE = "text/event-stream; charset=utf-8"

    def route(self, path: str) -> Route | None:
        """What a path means here, None if it is not one of this provider's."""
        from ragmeter.testing.route import Route

        for pattern, api in self.PATHS.items():
            if found := re.fullmatch(pattern, path):
                return Route(api, found.groupdict().get("model") or "", dialect=self)
        return None

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for a subclass
        """The request in OpenAI's shape."""
        return body

    def streams(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002
        """Whether the headers of a request ask for a stream, where its body does not say."""
        return False

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        raise NotImplementedError

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The pieces of a streamed answer."""
        raise NotImplementedError

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """The body of an answer to texts that are to be embedded."""
        return embeddings.plain(call, found, dimensions)

    def rerank(self, call: Call, found: list[str]) -> Any:
        """The body of an answer to documents that are to be ranked."""
        return rerank.plain(call, found)

    def headers(self, call: Call, prompt_tokens: int, completion_tokens: int) -> dict[str, str]:  # noqa: ARG002
        """What the headers of an answer in one piece say."""
        return {}

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """The headers and the body of an error."""
        return refusal.headers, refusal.body


def pieces(call: Call, made: Generation) -> Iterator[str]:
    """The text of an answer as it is cut for a stream."""
    for _, text in made.write(call.per_chunk):
        yield text
