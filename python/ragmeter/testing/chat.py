"""Chat completions and legacy completions: the shapes of answers, chunks and usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.call import DONE, Call, Event, sse
from ragmeter.testing.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.testing.generate import Generation

CALM = {"filtered": False, "severity": "safe"}
FILTERS = {"hate": CALM, "self_harm": CALM, "sexual": CALM, "violence": CALM}


def usage(made: Generation, completion_tokens: int | None = None) -> dict[str, Any]:
    """The usage of an answer, or of a part of it."""
    completion = made.completion_tokens if completion_tokens is None else completion_tokens
    return {
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": made.prompt_tokens + completion,
        "prompt_tokens_details": {
            "cached_tokens": made.cached_tokens,
            "audio_tokens": made.prompt_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": made.reasoning_tokens,
            "audio_tokens": made.completion_audio_tokens,
            "accepted_prediction_tokens": made.accepted_prediction_tokens,
            "rejected_prediction_tokens": made.rejected_prediction_tokens,
        },
    }


def plain(call: Call, made: Generation) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    choices = [_choice(call, index, "".join(piece), made.finish) for index, piece in enumerate(made.choices)]
    head = {"id": call.id, "object": _kind(call, chunk=False), "created": call.created, "model": call.model}
    azure = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FILTERS}]} if call.azure else {}
    tail = {"service_tier": "default", "system_fingerprint": "fp_ragmeter"}
    return {**head, "choices": choices, **call.report(usage(made)), **tail, **azure}


def stream(call: Call, made: Generation) -> Iterator[Event]:
    """The events of a streamed answer.

    With `include_usage` every chunk carries `"usage": null` and one more, with no choices, the counts; without it
    there is no usage anywhere. Faults change that.
    """
    running = call.fault is Fault.USAGE_EVERY_CHUNK
    on_finish = call.fault is Fault.USAGE_ON_FINISH
    with_null = (call.include_usage or call.fault is Fault.NULL_USAGE) and call.fault is not Fault.NO_USAGE

    def event(choices: list[dict[str, Any]], *, last: bool = False) -> Event:
        chunk: dict[str, Any] = {
            "id": call.id,
            "object": _kind(call, chunk=True),
            "created": call.created,
            "model": call.model,
            "service_tier": "default",
            "system_fingerprint": "fp_ragmeter",
            "choices": choices,
        }
        if running or (on_finish and last):
            chunk["usage"] = usage(made, None if last else made.written)
        elif with_null:
            chunk["usage"] = None
        return Event(sse(chunk), counts=last and (running or on_finish))

    if call.azure:
        filters = [{"prompt_index": 0, "content_filter_results": FILTERS}]
        empty = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        yield Event(sse({**empty, "prompt_filter_results": filters}))
    if call.api == "chat":
        for index in range(len(made.choices)):
            yield event([_delta(index, {"role": "assistant", "content": "", "refusal": None})])
    for index, text in made.write(call.per_chunk):
        yield event([_delta(index, {"content": text}) if call.api == "chat" else _text(index, text)])
    for index in range(len(made.choices)):
        done = _delta(index, {}, made.finish) if call.api == "chat" else _text(index, "", made.finish)
        yield event([done], last=index == len(made.choices) - 1)
    if call.include_usage and call.fault not in {Fault.NO_USAGE, Fault.USAGE_ON_FINISH}:
        head = {"id": call.id, "object": _kind(call, chunk=True), "created": call.created, "model": call.model}
        tail = {"service_tier": "default", "system_fingerprint": "fp_ragmeter", "choices": []}
        yield Event(sse({**head, **tail, **call.report(usage(made))}), counts=call.honest)
    yield Event(DONE)


def _kind(call: Call, *, chunk: bool) -> str:
    if call.api == "completions":
        return "text_completion"
    return "chat.completion.chunk" if chunk else "chat.completion"


def _choice(call: Call, index: int, text: str, finish: str) -> dict[str, Any]:
    if call.api == "completions":
        return _text(index, text, finish)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    filters = {"content_filter_results": FILTERS} if call.azure else {}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish, **filters}


def _delta(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _text(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
