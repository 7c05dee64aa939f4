"""What observing adds to a call of the OpenAI SDK, without a network: the SDK's own work is the yardstick."""

import statistics
import time

import httpx2
import openai

import ragmeter

PAIRS = 2_000

USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 300}}],
    "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0}},
}  # fmt: skip
CHUNK = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[%s]%s}\n\n'
)
DELTA = '{"index":0,"delta":{"content":"word "},"finish_reason":null}'


def events(with_usage):
    lines = [CHUNK % (DELTA, ',"usage":null' if with_usage else "")] * 300
    last = [CHUNK % ("", f',"usage":{USAGE}'.replace("'", '"'))] if with_usage else []
    return "".join([*lines, *last, "data: [DONE]\n\n"]).encode()


PLAIN, WITH_USAGE = events(False), events(True)


def handler(request):
    if b'"stream":true' not in request.content:
        return httpx2.Response(200, json=ANSWER)
    body = WITH_USAGE if b"include_usage" in request.content else PLAIN
    return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})


def pair(call, number):
    times = {}
    for metered in (False, True) if number % 2 else (True, False):
        if metered:
            ragmeter.instrument("openai")
        with ragmeter.run():
            began = time.perf_counter()
            call()
            times[metered] = time.perf_counter() - began
        ragmeter.uninstrument("openai")
    return times


def main():
    client = openai.OpenAI(
        api_key="any", base_url="http://here/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(handler))
    )
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 1000}]}
    calls = {
        "chat, plain": lambda: client.chat.completions.create(**request),
        "chat, 300 chunks": lambda: list(client.chat.completions.create(**request, stream=True)),
    }
    print(f"openai {openai.__version__}, median of {PAIRS} pairs, no network")
    for name, call in calls.items():
        found = [pair(call, number) for number in range(PAIRS if "plain" in name else PAIRS // 10)]
        plain = statistics.median(times[False] for times in found)
        added = statistics.median(times[True] - times[False] for times in found)
        print(f"  {name:18} {plain * 1e6:8.0f} µs unobserved   {added * 1e6:+7.1f} µs   {added / plain * 100:+5.1f} %")


if __name__ == "__main__":
    main()
