"""The doors of extract_usage, UsageStream, StreamFilter. Bodies are written by hand from the documentation."""

import json
import resource
from types import SimpleNamespace

import pytest

import ragmeter

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": 'say "usage": {"prompt_tokens": 7}'}}],
    "usage": {
        "prompt_tokens": 1200,
        "completion_tokens": 80,
        "total_tokens": 1280,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 3},
        "completion_tokens_details": {
            "reasoning_tokens": 64,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 5,
            "rejected_prediction_tokens": 2,
        },
    },
    "service_tier": "default",
}


def namespace(value):
    if isinstance(value, dict):
        return SimpleNamespace(**{k: namespace(v) for k, v in value.items()})
    if isinstance(value, list):
        return [namespace(v) for v in value]
    return value


@pytest.mark.parametrize(
    "door",
    [
        lambda body: json.dumps(body).encode(),
        lambda body: json.dumps(body, indent=1),
        lambda body: bytearray(json.dumps(body).encode()),
        lambda body: memoryview(json.dumps(body).encode()),
        lambda body: body,
        namespace,
    ],
    ids=["bytes", "str", "bytearray", "memoryview", "dict", "namespace"],
)
def test_a_body_reads_the_same_through_every_door(door):
    usage = ragmeter.extract_usage(door(CHAT))
    assert usage.as_dict() == {
        "input_tokens": 1200,
        "output_tokens": 80,
        "cache_read_tokens": 1024,
        "input_audio_tokens": 3,
        "reasoning_tokens": 64,
        "output_audio_tokens": 0,
        "accepted_prediction_tokens": 5,
        "rejected_prediction_tokens": 2,
        "total_tokens": 1280,
        "origin": "reported",
    }
    assert (usage.model, usage.response_id, usage.flags) == ("gpt-5-mini", "chatcmpl-1", [])


def sse(*events):
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


CHUNKS = [
    {"id": "c1", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"content": "Grüße, "}}], "usage": None},
    {"id": "c1", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"content": "Welt"}}], "usage": None},
    {"id": "c1", "model": "gpt-5-mini", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_stream_reads_the_same_at_every_split(size):
    body = sse(*CHUNKS)
    stream = ragmeter.UsageStream("openai", keep_text=True)
    for start in range(0, len(body), size):
        stream.feed(body[start : start + size])
    usage = stream.finish()
    assert (usage.input_tokens, usage.output_tokens) == (9, 4)
    assert (stream.model, stream.response_id, stream.done, stream.text) == ("gpt-5-mini", "c1", True, "Grüße, Welt")
    assert (usage.provider, usage.model) == ("openai", "gpt-5-mini")


def test_a_list_of_chunks_is_a_stream():
    assert ragmeter.extract_usage(CHUNKS).total_tokens == 13
    assert ragmeter.extract_usage([namespace(chunk) for chunk in CHUNKS]).total_tokens == 13


def test_the_newest_usage_replaces_the_older_one():
    chunks = [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": n}} for n in (1, 2, 3)]
    assert ragmeter.extract_usage(sse(*chunks)).output_tokens == 3


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_the_filter_takes_out_what_asking_for_usage_added(size):
    def lines(*events):
        return b"".join(b"data: " + e + b"\n\n" for e in events)

    plain = lines(b'{"choices":[{"delta":{"content":"\\"usage\\": null"}}],"x":1}', b'{"choices": [{}]}', b"[DONE]")
    asked = lines(
        b'{"choices":[{"delta":{"content":"\\"usage\\": null"}}],"usage":null,"x":1}',
        b'{"choices": [{}], "usage": null}',
        b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}',
        b"[DONE]",
    )
    stream = ragmeter.StreamFilter(swallow_usage=True)
    seen = b"".join(stream.feed(asked[at : at + size]) for at in range(0, len(asked), size)) + stream.finish()
    assert seen == plain
    assert stream.usage.total_tokens == 13
    assert stream.done


@pytest.mark.parametrize("bad", [None, 5, True, 1.5, b"", "", "no json", b"\xff\xfe", [], {}, [None], object()])
def test_what_cannot_be_read_is_none(bad):
    assert ragmeter.extract_usage(bad) is None


def test_memory_does_not_grow_with_the_stream():
    piece = sse(*CHUNKS)[:-14] * 400
    stream = ragmeter.UsageStream()
    stream.feed(piece)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2**28 // len(piece)):
        stream.feed(piece)
    stream.feed(b'data: {"id": "c1", "delta": "' + b"x" * 2**20)
    for _ in range(64):
        stream.feed(piece[:2] + b"x" * 2**20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB
    assert stream.usage.total_tokens == 13


def test_hints_with_half_a_character_spoil_nothing():
    body = b'{"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}'
    assert ragmeter.extract_usage(body, provider="\ud800", api="\udfff").total_tokens == 15
    stream = ragmeter.UsageStream("\ud800", "\udfff")
    stream.feed(body)
    assert stream.finish().total_tokens == 15


@pytest.mark.parametrize("door", [lambda body: json.dumps(body).encode(), dict, namespace])
def test_embeddings_that_are_objects_may_have_counted_their_text(door):
    texts = [{"values": [0.1, 0.2], "statistics": {"token_count": n, "truncated": False}} for n in (6, 3)]
    usage = ragmeter.extract_usage(door({"embeddings": texts, "metadata": {"billable_character_count": 31}}))
    assert (usage.input_tokens, usage.output_tokens, usage.characters) == (9, 0, 31)
    assert ragmeter.extract_usage(door({"embeddings": [[0.1, 0.2]], "prompt_eval_count": 4})).output_tokens == 0
