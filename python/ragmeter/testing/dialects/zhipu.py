"""Zhipu's API: OpenAI's shapes under a path of its own; the last chunk with a choice has the counts, unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing import chat
from ragmeter.testing.call import DONE, Event, sse
from ragmeter.testing.dialects.dialect import Dialect, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation


class Zhipu(Dialect):
    """`/api/paas/v4/chat/completions` and `/api/paas/v4/embeddings`."""

    PATHS = {"/api/paas/v4/chat/completions": "chat", "/api/paas/v4/embeddings": "embeddings"}  # noqa: RUF012

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        return chat.plain(call, made)

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The events of a streamed answer."""
        for piece in pieces(call, made):
            yield self._event(call, {"delta": {"role": "assistant", "content": piece}})
        done = {"delta": {"role": "assistant", "content": ""}, "finish_reason": made.finish}
        yield self._event(call, done, **call.report(chat.usage(made)), counts=call.honest)
        yield Event(DONE)

    def _event(self, call: Call, choice: dict[str, Any], *, counts: bool = False, **more: Any) -> Event:
        head = {"id": call.id, "created": call.created, "model": call.model, "choices": [{"index": 0, **choice}]}
        return Event(sse({**head, **more}), counts=counts)
