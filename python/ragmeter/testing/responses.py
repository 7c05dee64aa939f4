"""The Responses API: the body of a response and the events of its stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import Call, Event, sse
from ragmeter.testing.fault import Fault

if TYPE_CHECKING:
    from ragmeter.testing.generate import Generation


def messages(body: Mapping[str, Any]) -> list[Any]:
    """The conversation of a request as chat messages."""
    said: list[Any] = []
    if body.get("instructions"):
        said.append({"role": "system", "content": body["instructions"]})
    asked = body.get("input", "")
    if isinstance(asked, str):
        return [*said, {"role": "user", "content": asked}]
    for item in asked if isinstance(asked, list) else []:
        if isinstance(item, Mapping) and "output" in item:
            said.append({"role": "tool", "content": str(item["output"])})
        else:
            said.append(item)
    return said


def usage(made: Generation) -> dict[str, Any]:
    """The usage of a response."""
    return {
        "input_tokens": made.prompt_tokens,
        "input_tokens_details": {"cached_tokens": made.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": made.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": made.reasoning_tokens},
        "total_tokens": made.prompt_tokens + made.completion_tokens,
    }


def plain(call: Call, made: Generation) -> dict[str, Any]:
    """A finished response."""
    cut = made.finish == "length"
    status = "incomplete" if cut else "completed"
    reason = {"reason": "max_output_tokens"} if cut else None
    return {**_head(call, status, reason), "output": [_item(call, made.text, status)], **call.report(usage(made))}


def stream(call: Call, made: Generation) -> Iterator[Event]:
    """The events of a streamed response; the counts come with the last one."""
    number = count()

    def event(name: str, **rest: Any) -> Event:
        return Event(sse({"type": name, "sequence_number": next(number), **rest}, name))

    begun = {**_head(call, "in_progress", None), "output": []}
    if call.fault is not Fault.NO_USAGE:
        begun["usage"] = None
    item_id = _item_id(call)
    at: dict[str, Any] = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    yield event("response.output_item.added", output_index=0, item={**_item(call, "", "in_progress"), "content": []})
    yield event("response.content_part.added", **at, part=_part(""))
    for _, text in made.write(call.per_chunk):
        yield event("response.output_text.delta", **at, delta=text, logprobs=[])
    whole = plain(call, made)
    yield event("response.output_text.done", **at, text=made.text, logprobs=[])
    yield event("response.content_part.done", **at, part=_part(made.text))
    yield event("response.output_item.done", output_index=0, item=whole["output"][0])
    yield event(f"response.{whole['status']}", response=whole)._replace(counts=call.honest)


def _head(call: Call, status: str, incomplete: dict[str, str] | None) -> dict[str, Any]:
    body = call.body
    return {
        "id": call.id,
        "object": "response",
        "created_at": call.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": call.model,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _item_id(call: Call) -> str:
    return "msg_" + call.id.removeprefix("resp_")


def _item(call: Call, text: str, status: str) -> dict[str, Any]:
    return {
        "id": _item_id(call),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [_part(text)],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
