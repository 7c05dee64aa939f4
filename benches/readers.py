"""Reading usage beside its peers, side by side in one process; best of several rounds, as ratios.

The Python way is RAGFlow's `usage_from_response` and `total_token_count_from_response`, written here to the same
semantics. Run with `make bench`.
"""

import json
import resource
import sys
import time
import timeit

import ragmeter

ROUNDS = 9


def usage_from_response(resp):
    """Three fields: the first truthy name each, attributes before items, as RAGFlow reads them."""
    result = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if resp is None:
        return result
    try:
        usage = getattr(resp, "usage", None)
        if usage is None and isinstance(resp, dict):
            usage = resp.get("usage")
    except Exception:  # noqa: BLE001 - as the original
        return result
    if not usage:
        return result

    def field(*names):
        for name in names:
            try:
                value = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)
            except Exception:  # noqa: BLE001 - as the original
                value = None
            if value:
                return int(value)
        return 0

    result["prompt_tokens"] = field("prompt_tokens", "input_tokens")
    result["completion_tokens"] = field("completion_tokens", "output_tokens")
    result["total_tokens"] = field("total_tokens") or result["prompt_tokens"] + result["completion_tokens"]
    return result


def total_token_count_from_response(resp):
    """The total, which RAGFlow asks for beside the split, also once a chunk."""
    if resp is None:
        return 0
    for path in (("usage", "total_tokens"), ("usage_metadata", "total_tokens")):
        value = resp
        try:
            for name in path:
                value = getattr(value, name)
        except Exception:  # noqa: BLE001 - as the original
            continue
        return value
    try:
        return resp.meta.billed_units.input_tokens
    except Exception:  # noqa: BLE001 - as the original
        pass
    if isinstance(resp, dict) and "usage" in resp and "total_tokens" in (resp["usage"] or ()):
        return resp["usage"]["total_tokens"]
    return 0


def chat(text):
    return {
        "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
        "object": "chat.completion",
        "created": 1741569952,
        "model": "gpt-4.1-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1419,
            "completion_tokens": 210,
            "total_tokens": 1629,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 64,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
    }


GREETING = "Hello! How can I assist you today?"
ANSWER = 'The deployment guide says:\n\n1. Set `RAG_DIR`.\n2. Start the "worker" before the server – not after.\n' * 18
EMBEDDINGS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": i, "embedding": [((i * 31 + j * 17) % 1999) / 1e5 for j in range(256)]}
        for i in range(8)
    ],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 800, "total_tokens": 800},
}


def best(statement, peer, least=0.05):
    """Seconds a run of both, measured alternately so that both see the same machine."""
    numbers = [max(1, int(least / max(timeit.timeit(f, number=20) / 20, 1e-9))) for f in (statement, peer)]
    times = [
        [timeit.timeit(f, number=n) / n for f, n in zip((statement, peer), numbers, strict=True)] for _ in range(ROUNDS)
    ]
    return tuple(map(min, zip(*times, strict=True)))


def row(title, ours, theirs, bar):
    mine, peer = best(ours, theirs)
    print(f"{title:56} {mine * 1e9:12.0f} ns {peer * 1e9:12.0f} ns {peer / mine:9.1f} x   {bar}")


def long_stream(event, size, total=2**30):
    """A stream of `total` bytes in pieces of at most `size`, the usage in its last event: time and memory."""
    block = event * 4096
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    stream = ragmeter.UsageStream()
    feed = stream.feed
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for _ in range(-(-total // len(block))):
        for piece in pieces:
            feed(piece)
    feed(b'data: {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}\n\n')
    took, grown = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    usage = stream.finish()
    said = "the usage is right" if (usage.total_tokens, usage.flags) == (15, []) else f"WRONG: {usage!r}"
    print(f"{total / 2**20:.0f} MiB in pieces of {size} bytes: {took:.0f} s, memory grew by {grown} KiB, {said}")


def main():
    extract = ragmeter.extract_usage
    print(f"{'':56} {'ragmeter':>15} {'peer':>15} {'ratio':>11}   bar")
    for title, body in (("greeting", chat(GREETING)), ("RAG answer", chat(ANSWER)), ("8 embeddings", EMBEDDINGS)):
        raw = json.dumps(body).encode()
        row(
            f"bytes, {title} ({len(raw)} B) : json.loads + 3 fields",
            lambda r=raw: extract(r),
            lambda r=raw: usage_from_response(json.loads(r)),
            "10 x",
        )

    body = chat(GREETING)
    raw = json.dumps(body).encode()
    try:
        import genai_prices
    except ImportError:
        print("genai-prices is not installed")
    else:
        peer = genai_prices.extract_usage
        row(
            "bytes : json.loads + genai-prices extract_usage",
            lambda: extract(raw),
            lambda: peer(json.loads(raw), provider_id="openai", api_flavor="chat"),
            "30 x",
        )
        row(
            "dict : genai-prices extract_usage",
            lambda: extract(body),
            lambda: peer(body, provider_id="openai", api_flavor="chat"),
            "",
        )

    row("dict : 3 fields", lambda: extract(body), lambda: usage_from_response(body), "")
    chunk = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}],
        "usage": None,
    }
    try:
        from openai.types.chat import ChatCompletion, ChatCompletionChunk
    except ImportError:
        print("openai is not installed")
    else:
        answer, piece = ChatCompletion.model_validate(body), ChatCompletionChunk.model_validate(chunk)
        row("openai object : 3 fields", lambda: extract(answer), lambda: usage_from_response(answer), "4 x")
        row(
            "openai object : 3 fields and the total, as RAGFlow",
            lambda: extract(answer),
            lambda: (usage_from_response(answer), total_token_count_from_response(answer)),
            "",
        )
        stream = ragmeter.UsageStream()
        row(
            "openai chunk without usage : as RAGFlow",
            lambda: stream.feed(piece),
            lambda: (usage_from_response(piece), total_token_count_from_response(piece)),
            "5 x",
        )
    event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    stream = ragmeter.UsageStream()
    row(
        "event without usage : json.loads + 3 fields",
        lambda: stream.feed(event),
        lambda: usage_from_response(json.loads(event[6:])),
        "5 x",
    )

    many = event * (16 * 2**20 // len(event))
    pieces = [many[at : at + 65536] for at in range(0, len(many), 65536)]

    def feed():
        stream = ragmeter.UsageStream()
        for piece in pieces:
            stream.feed(piece)

    mine, peer = best(feed, lambda: [piece.count(b"\n") for piece in pieces])
    ours, theirs = (f"{len(many) / seconds / 1e6:10.0f} MB/s" for seconds in (mine, peer))
    print(f"{'64-KiB pieces of a stream : bytes.count':56} {ours} {theirs} {peer / mine:9.2f} x   0.1 x")

    for size in (7, 64, 1024, 65536):
        long_stream(event, size)


if __name__ == "__main__":
    sys.exit(main())
