"""The stub server, asked through the real OpenAI SDK: what the SDK saw is what the ledger says."""

import asyncio
import base64
import contextlib
import json
import math
import signal
import struct
import subprocess
import sys
import time
from http.client import HTTPConnection
from importlib import import_module, resources
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

import openai
import pytest

from ragmeter.testing import BAD_USAGES, Fault, Rule, StubServer, Totals, documents

HELLO = [{"role": "user", "content": "Tell me about Scrooge and Marley, MARK-7f3a, at some length if you please."}]
ASKED = {"stream_options": {"include_usage": True}}

# openai 3 speaks HTTP through httpx2, older releases through httpx; an error in a stream comes from there.
LIBRARIES = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name)]
LOST = (openai.APIConnectionError, *(library.TransportError for library in LIBRARIES))


@pytest.fixture
def server():
    with StubServer() as server:
        yield server


def ask_sync(client_options, api, seen, request):
    with openai.OpenAI(**client_options) as client:
        answer = attrgetter(api)(client).create(**request)
        if not request.get("stream"):
            return answer
        for event in answer:
            seen.append(event)
        return seen


def ask_async(client_options, api, seen, request):
    async def ask():
        async with openai.AsyncOpenAI(**client_options) as client:
            answer = await attrgetter(api)(client).create(**request)
            if not request.get("stream"):
                return answer
            async for event in answer:
                seen.append(event)
            return seen

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request, server):
    """Asks the server through the SDK and returns an answer, or the list of all events of a stream."""

    def ask(api, *, seen=None, retries=2, **body):
        options = {"base_url": server.base_url, "api_key": "sk-any", "max_retries": retries}
        body = {"model": "gpt-4o-mini", **body}
        return request.param(options, api, [] if seen is None else seen, body)

    return ask


def chat_counts(usage):
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": prompt.cached_tokens,
        "prompt_audio_tokens": prompt.audio_tokens,
        "reasoning_tokens": completion.reasoning_tokens,
        "completion_audio_tokens": completion.audio_tokens,
        "accepted_prediction_tokens": completion.accepted_prediction_tokens,
        "rejected_prediction_tokens": completion.rejected_prediction_tokens,
    }


def billed(bill, *names):
    names = names or (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "prompt_audio_tokens",
        "reasoning_tokens",
        "completion_audio_tokens",
        "accepted_prediction_tokens",
        "rejected_prediction_tokens",
    )
    return {name: getattr(bill, name) for name in names}


def only(bills):
    [bill] = bills
    return bill


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def said(chunk):
    """Whether a chunk has a usage key at all."""
    return "usage" in chunk.model_fields_set


# The APIs


def test_chat_is_billed_as_it_is_told(server, ask):
    answer = ask("chat.completions", messages=HELLO)
    bill = only(server.bills)
    assert chat_counts(answer.usage) == billed(bill)
    assert (answer.id, answer._request_id, answer.model) == (bill.id, bill.request_id, bill.model)
    assert answer.choices[0].message.content == bill.text
    assert answer.choices[0].finish_reason == "stop"
    assert "MARK-7f3a" in bill.text
    assert bill.reasoning_tokens > 0
    assert bill.delivered
    assert (bill.api, bill.role, bill.path, bill.stream) == ("chat", "other", "/v1/chat/completions", False)


def test_a_stream_tells_its_usage_only_when_asked(server, ask):
    asked = ask("chat.completions", messages=HELLO, stream=True, **ASKED)
    silent = ask("chat.completions", messages=HELLO, stream=True)
    one, other = server.bills
    *chunks, last = asked
    assert all(said(chunk) and chunk.usage is None and chunk.choices for chunk in chunks)
    assert last.choices == []
    assert chat_counts(last.usage) == billed(one)
    assert not any(said(chunk) for chunk in silent)
    assert all(chunk.choices for chunk in silent)
    assert text_of(asked) == text_of(silent) == one.text == other.text
    assert (one.delivered, other.delivered) == (True, False)
    assert billed(one) == billed(other)


def test_legacy_completions(server, ask):
    answer = ask("completions", prompt="Tell me about Scrooge.", max_tokens=100)
    assert chat_counts(answer.usage) == billed(only(server.bills))
    assert answer.choices[0].text == server.bills[0].text
    server.reset()
    *chunks, last = ask("completions", prompt=["One.", "Two."], stream=True, max_tokens=100, **ASKED)
    assert chat_counts(last.usage) == billed(only(server.bills))
    for index in (0, 1):
        texts = [chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(texts) == server.bills[0].text
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_legacy_completions_stop_after_16_tokens_by_default(server, ask):
    answer = ask("completions", prompt="Tell me about Scrooge and Marley and Christmas and the fog.")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 16


def response_counts(usage):
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.input_tokens_details.cached_tokens,
        "reasoning_tokens": usage.output_tokens_details.reasoning_tokens,
    }


def test_responses(server, ask):
    answer = ask("responses", input="Tell me about Scrooge.", instructions="Be brief.")
    bill = only(server.bills)
    counts = response_counts(answer.usage)
    assert counts == billed(bill, *counts)
    assert (answer.id, answer.status, answer.output_text) == (bill.id, "completed", bill.text)


def test_a_stream_of_responses_has_the_real_events(server, ask):
    events = ask("responses", input=HELLO, stream=True)
    names = [event.type for event in events]
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    bill = only(server.bills)
    assert "".join(event.delta for event in events[4:-4]) == bill.text
    assert events[0].response.usage is None
    counts = response_counts(events[-1].response.usage)
    assert counts == billed(bill, *counts)
    assert bill.delivered


def test_a_response_without_room_is_incomplete(server, ask):
    whole = ask("responses", input="Tell me about Scrooge and Marley and Christmas.")
    *_, last = ask(
        "responses", input="Tell me about Scrooge and Marley and Christmas.", stream=True, max_output_tokens=16
    )
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.usage.output_tokens == 16 == server.bills[-1].completion_tokens
    assert whole.output_text.startswith(last.response.output_text)


def test_a_stored_response_is_read_without_a_bill(server):
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        answer = client.responses.create(model="gpt-5-mini", input="Tell me about Scrooge.")
        again = client.responses.retrieve(answer.id)
        assert again.usage == answer.usage
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_none")
    assert len(server.bills) == 1


def test_embeddings_in_both_encodings(server, ask):
    texts = ["Scrooge kept no Christmas", "Christmas was kept by Scrooge", "the White Rabbit took a watch"]
    floats = ask("embeddings", input=texts, encoding_format="float", dimensions=48)
    packed = ask("embeddings", input=texts, encoding_format="base64", dimensions=48)
    one, other = server.bills
    assert (floats.usage.prompt_tokens, floats.usage.total_tokens) == (one.prompt_tokens, one.total_tokens)
    assert billed(one) == billed(other)
    assert one.api == one.role + "s" == "embeddings"
    first, second, third = [entry.embedding for entry in floats.data]
    assert [len(first), math.fsum(value * value for value in first)] == [48, pytest.approx(1.0)]
    assert near(first, second) > near(first, third)
    usual = ask("embeddings", input=texts, dimensions=48)
    for entry, decoded, vector in zip(packed.data, usual.data, [first, second, third], strict=True):
        assert struct.unpack("<48f", base64.b64decode(entry.embedding)) == pytest.approx(vector, abs=1e-6)
        assert decoded.embedding == pytest.approx(vector, abs=1e-6)


def near(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_embeddings_of_token_ids_cost_one_each(server, ask):
    assert ask("embeddings", input=[[1, 2, 3], [4, 5]]).usage.prompt_tokens == 5
    assert ask("embeddings", input=[1, 2, 3]).usage.prompt_tokens == 3
    assert len(ask("embeddings", input="one").data[0].embedding) == server.dimensions == 64


def test_reranking_costs_the_query_once_for_each_document(server):
    texts = ["the White Rabbit took a watch", "Scrooge kept no Christmas"]
    body = {"model": "r", "query": "Who kept Christmas MARK-r", "documents": texts, "top_n": 1}
    answer = json.loads(post(server, "/v1/rerank", body)[1])
    [result] = answer["results"]
    assert (result["index"], result["document"]) == (1, {"text": texts[1]})
    assert 0.5 < result["relevance_score"] <= 1
    bill = only(server.bills_for("MARK-r"))
    assert (bill.api, bill.role, bill.delivered) == ("rerank", "rerank", True)
    # Who kept Christ mas MARK - r · the White Rabbit took a watch · Scroog e kept no Christ mas
    assert answer["usage"]["total_tokens"] == bill.prompt_tokens == 2 * 7 + 6 + 6
    totals = server.totals()
    assert (totals.calls, totals.rerank_calls, totals.rerank_tokens) == (1, 1, bill.prompt_tokens)
    assert (totals.model_calls, totals.prompt_tokens, totals.embedding_calls) == (0, 0, 0)


def test_models_are_listed_without_a_bill(server):
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        assert "gpt-4o-mini" in [model.id for model in client.models.list()]
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    assert server.totals() == Totals()


def test_azure_names_the_deployment_in_the_path(server):
    options = {"azure_endpoint": server.url, "api_key": "any", "api_version": "2024-10-21"}
    with openai.AzureOpenAI(**options) as client:
        answer = client.chat.completions.create(model="mine", messages=HELLO)
        first, *chunks = client.chat.completions.create(model="mine", messages=HELLO, stream=True, **ASKED)
        vectors = client.embeddings.create(model="vectors", input="Scrooge")
    one, two, three = server.bills
    assert one.path == "/openai/deployments/mine/chat/completions"
    assert [one.model, two.model, three.model] == ["mine", "mine", "vectors"]
    assert chat_counts(answer.usage) == billed(one)
    assert first.choices == []
    assert first.model_extra["prompt_filter_results"]
    assert chat_counts(chunks[-1].usage) == billed(two)
    assert vectors.usage.prompt_tokens == three.prompt_tokens


# What is counted


def test_the_repeated_beginning_of_a_long_prompt_is_cached(server, ask):
    long = " ".join(documents().values())
    first = ask("chat.completions", messages=[{"role": "user", "content": long + " Who?"}])
    second = ask("chat.completions", messages=[{"role": "user", "content": long + " Where?"}])
    other = ask("chat.completions", messages=[{"role": "user", "content": "So: " + long}])
    cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in (first, second, other)]
    assert cached[0] == cached[2] == 0
    assert 1024 <= cached[1] < second.usage.prompt_tokens
    assert cached[1] % 128 == 0
    assert server.totals().cached_tokens == cached[1]


def test_limits_choices_predictions_and_audio(server, ask):
    short = ask("chat.completions", messages=HELLO, max_completion_tokens=10)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 10)
    twice = ask("chat.completions", messages=HELLO, n=2)
    once = ask("chat.completions", messages=HELLO)
    assert [choice.message.content for choice in twice.choices] == [once.choices[0].message.content] * 2
    assert twice.usage.completion_tokens == 2 * once.usage.completion_tokens
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 1000, "format": "wav"}}
    heard = ask("chat.completions", messages=[{"role": "user", "content": [sound]}], modalities=["text", "audio"])
    assert heard.usage.prompt_tokens_details.audio_tokens == 10
    assert heard.usage.completion_tokens_details.audio_tokens > 0
    guess = {"type": "content", "content": "You said nothing of the kind"}
    guessed = ask("chat.completions", messages=HELLO, prediction=guess).usage
    assert guessed.completion_tokens_details.accepted_prediction_tokens == 2
    assert guessed.completion_tokens_details.rejected_prediction_tokens == 5
    assert guessed.completion_tokens == once.usage.completion_tokens + 5
    for bill, usage in zip(server.bills, [short.usage, twice.usage, once.usage, heard.usage, guessed], strict=True):
        assert billed(bill) == chat_counts(usage)


def test_bills_are_found_by_marker(server):
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        client.chat.completions.create(model="m", messages=HELLO)
        client.embeddings.create(model="e", input=["one MARK-a1", "two MARK-b2"])
        client.embeddings.create(model="e", input="three", extra_headers={"x-ragmeter-marker": "tenant-9"})
    assert [bill.markers for bill in server.bills] == [("MARK-7f3a",), ("MARK-a1", "MARK-b2"), ("tenant-9",)]
    assert server.bills_for("MARK-b2") == [server.bills[1]]
    assert server.totals("tenant-9").embedding_calls == 1
    totals = server.totals()
    assert (totals.calls, totals.model_calls, totals.embedding_calls) == (3, 1, 2)
    assert totals.prompt_tokens == server.bills[0].prompt_tokens
    assert totals.total_tokens == server.bills[0].total_tokens
    assert totals.embedding_tokens == sum(bill.prompt_tokens for bill in server.bills[1:])
    server.reset()
    assert server.totals() == Totals()


def test_fifty_streams_at_once(server):
    async def stream(client, number):
        question = [{"role": "user", "content": f"Question MARK-n{number} " + "word " * number}]
        chunks = await client.chat.completions.create(model="m", messages=question, stream=True, **ASKED)
        return [chunk async for chunk in chunks]

    async def stream_all():
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any") as client:
            return await asyncio.gather(*(stream(client, number) for number in range(50)))

    for number, chunks in enumerate(asyncio.run(stream_all())):
        bill = only(server.bills_for(f"MARK-n{number}"))
        assert text_of(chunks) == bill.text
        assert chat_counts(chunks[-1].usage) == billed(bill)
    assert server.totals().calls == 50


# Faults


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [(Fault.RATE_LIMIT, 429, openai.RateLimitError), (Fault.SERVER_ERROR, 500, openai.InternalServerError)],
)
def test_refused_attempts_cost_nothing(server, ask, fault, status, error):
    server.faults.add(fault, times=2)
    with pytest.raises(error) as caught:
        ask("chat.completions", messages=HELLO, retries=0)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert server.bills == []
    answer = ask("chat.completions", messages=HELLO)
    assert [(bill.status, bill.fault, bill.retry) for bill in server.refused] == [(status, fault.value, 0)] * 2
    assert only(server.bills).retry == 1
    assert billed(server.bills[0]) == chat_counts(answer.usage)


def test_a_rate_limit_says_when_to_come_back(server, ask):
    server.faults.add(Fault.RATE_LIMIT)
    with pytest.raises(openai.RateLimitError) as caught:
        ask("embeddings", input="Scrooge", retries=0)
    assert caught.value.response.headers["retry-after"] == "1"
    assert (caught.value.type, caught.value.code) == ("tokens", "rate_limit_exceeded")


@pytest.mark.parametrize("api", ["chat.completions", "responses"])
def test_a_cut_stream_is_billed_as_far_as_it_was_written(server, ask, api):
    request = {"messages": HELLO} if api == "chat.completions" else {"input": HELLO}
    ask(api, **request)
    after = 3 if api == "chat.completions" else 6  # a Response says more before its first piece
    server.faults.add(Fault.CUT, after=after)
    seen = []
    with pytest.raises(LOST):
        ask(api, seen=seen, stream=True, **request)
    assert len(seen) <= after
    one, cut = server.bills
    assert (cut.fault, cut.delivered, one.delivered) == ("cut", False, True)
    assert (cut.prompt_tokens, cut.reasoning_tokens) == (one.prompt_tokens, one.reasoning_tokens)
    assert cut.completion_tokens == cut.reasoning_tokens + 2 * 4 < one.completion_tokens


def test_what_is_written_before_the_client_leaves_is_billed(server):
    server.faults.add(Fault.STALL, after=3)
    client = openai.OpenAI(base_url=server.base_url, api_key="any")
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        said = [next(stream).choices[0].delta.content for _ in range(3)]
    client.close()
    (bill,) = server.bills
    assert bill.text.startswith("".join(said))
    assert bill.completion_tokens == bill.reasoning_tokens + 2 * 4


def test_another_tokenizer_counts_everything():
    def letters(text, model):
        return list(text) if model == "letters" else text.split()

    options = {"tokenizer": letters, "answer": lambda _: "an answer", "reasoning": 0}
    with StubServer(**options) as server, openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        for model in ("letters", "words"):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Who is it?"}])
            client.embeddings.create(model=model, input="Who is it?")
        chat, embedding = server.bills[:2]
        assert (chat.prompt_tokens, chat.completion_tokens, embedding.prompt_tokens) == (4 + 3 + 10, 9, 10)
        chat, embedding = server.bills[2:]
        assert (chat.prompt_tokens, chat.completion_tokens, embedding.prompt_tokens) == (4 + 3 + 3, 2, 3)


def test_what_was_sent_before_a_cut_arrives(server):
    server.faults.add(Fault.CUT, after=3)
    seen = []
    options = {"base_url": server.base_url, "api_key": "any"}
    with contextlib.suppress(*LOST):
        ask_sync(options, "chat.completions", seen, {"model": "m", "messages": HELLO, "stream": True, **ASKED})
    assert len(seen) == 3
    assert server.bills[0].text.startswith(text_of(seen))


def test_a_cut_body_is_asked_for_and_billed_again(server, ask):
    server.faults.add(Fault.CUT)
    answer = ask("chat.completions", messages=HELLO)
    lost, won = server.bills
    assert (lost.fault, lost.delivered, lost.retry) == ("cut", False, 0)
    assert (won.fault, won.delivered, won.retry) == (None, True, 1)
    assert billed(lost) == billed(won) == chat_counts(answer.usage)


@pytest.mark.parametrize("fault", [Fault.NO_USAGE, Fault.NULL_USAGE])
def test_usage_that_is_missing(server, ask, fault):
    server.faults.add(fault, times=None)
    null = fault is Fault.NULL_USAGE
    answer = ask("chat.completions", messages=HELLO)
    assert (said(answer), answer.usage) == (null, None)
    asked = ask("chat.completions", messages=HELLO, stream=True, **ASKED)
    assert {(said(chunk), chunk.usage) for chunk in asked} == {(null, None)}
    response = ask("responses", input="Scrooge")
    assert (said(response), response.usage) == (null, None)
    last = ask("responses", input="Scrooge", stream=True)[-1].response
    assert (said(last), last.usage) == (null, None)
    vectors = ask("embeddings", input="Scrooge")
    assert getattr(vectors, "usage", None) is None
    assert [bill.delivered for bill in server.bills] == [False] * 5
    assert all(bill.prompt_tokens > 0 for bill in server.bills)


@pytest.mark.parametrize("name", BAD_USAGES)
def test_usage_that_nobody_should_send(server, ask, name):
    server.faults.add(Fault.BAD_USAGE, times=None, usage=BAD_USAGES[name])
    status, body, _ = post(server, "/v1/chat/completions", {"model": "m", "messages": HELLO})
    assert (status, repr(json.loads(body)["usage"])) == (200, repr(BAD_USAGES[name]))
    ask("chat.completions", messages=HELLO)
    *_, last = ask("chat.completions", messages=HELLO, stream=True, **ASKED)
    assert said(last)
    assert not any(bill.delivered for bill in server.bills)
    assert len(server.bills) == 3


def test_an_empty_answer_costs_as_much(server, ask):
    usual = ask("chat.completions", messages=HELLO)
    server.faults.add(Fault.EMPTY, times=2)
    empty = ask("chat.completions", messages=HELLO)
    assert empty.choices[0].message.content == ""
    assert empty.usage.completion_tokens == usual.usage.completion_tokens
    assert empty.usage.completion_tokens_details.reasoning_tokens == empty.usage.completion_tokens
    assert text_of(ask("chat.completions", messages=HELLO, stream=True)) == ""
    assert len({bill.completion_tokens for bill in server.bills}) == 1


def test_a_truncated_answer(server, ask):
    usual = ask("chat.completions", messages=HELLO)
    server.faults.add(Fault.TRUNCATED, times=2)
    short = ask("chat.completions", messages=HELLO)
    assert short.choices[0].finish_reason == "length"
    assert usual.choices[0].message.content.startswith(short.choices[0].message.content)
    assert short.usage.completion_tokens < usual.usage.completion_tokens
    assert chat_counts(short.usage) == billed(server.bills[1])
    assert ask("responses", input=HELLO, stream=True)[-1].type == "response.incomplete"


def test_a_slow_answer_is_billed_though_nobody_waits_for_it(server):
    server.faults.add(Fault.SLOW, delay=30)
    patience = openai.Timeout(30, read=0.3)
    options = {"base_url": server.base_url, "api_key": "any", "max_retries": 0, "timeout": patience}
    with openai.OpenAI(**options) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m", messages=HELLO)
    # On a busy machine the client may lose patience before the server has read the request.
    while not server.bills:
        time.sleep(0.01)
    bill = only(server.bills)
    assert (bill.fault, bill.delivered) == ("slow", False)


def test_a_stream_that_the_client_leaves_is_billed(server):
    server.faults.add(Fault.SLOW, delay=0, pause=0.3)
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        stream = client.chat.completions.create(model="m", messages=HELLO, stream=True, **ASKED)
        next(iter(stream))
        stream.close()
    server.stop()
    assert only(server.bills).delivered is False
    assert server.bills[0].completion_tokens > 0


def test_a_slow_stream_arrives_whole(server, ask):
    server.faults.add(Fault.SLOW, delay=0.01, pause=0.001)
    chunks = ask("chat.completions", messages=HELLO, stream=True, **ASKED)
    assert text_of(chunks) == only(server.bills).text
    assert server.bills[0].delivered


def test_servers_that_do_not_know_stream_options(server, ask):
    server.faults.add(Fault.REJECT_STREAM_OPTIONS, times=None)
    with pytest.raises(openai.BadRequestError, match="stream_options"):
        ask("chat.completions", messages=HELLO, stream=True, **ASKED)
    assert server.bills == []
    assert text_of(ask("chat.completions", messages=HELLO, stream=True)) == only(server.bills).text


@pytest.mark.parametrize("options", [{}, ASKED], ids=["silent", "asked"])
def test_usage_on_every_chunk(server, ask, options):
    server.faults.add(Fault.USAGE_EVERY_CHUNK)
    chunks = ask("chat.completions", messages=HELLO, stream=True, **options)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert chat_counts(chunks[-1].usage) == billed(only(server.bills))
    assert bool(chunks[-1].choices) is (options == {})
    assert server.bills[0].delivered


@pytest.mark.parametrize("options", [{}, ASKED], ids=["silent", "asked"])
def test_usage_on_the_chunk_that_finishes(server, ask, options):
    server.faults.add(Fault.USAGE_ON_FINISH)
    *chunks, last = ask("chat.completions", messages=HELLO, stream=True, **options)
    assert last.choices[0].finish_reason == "stop"
    assert chat_counts(last.usage) == billed(only(server.bills))
    assert all(chunk.usage is None for chunk in chunks)


def test_a_script_is_followed_request_by_request(server, ask):
    server.faults.script(Fault.RATE_LIMIT, None, Fault.USAGE_ON_FINISH, Rule(Fault.BAD_USAGE, usage=7), Fault.CUT)
    for _ in range(4):
        ask("embeddings", input="Scrooge")
    assert [bill.status for bill in server.refused] == [429]
    assert [(bill.fault, bill.retry) for bill in server.bills] == [
        (None, 1),
        (None, 0),
        ("bad_usage", 0),
        ("cut", 0),
        (None, 1),
    ]


def test_a_fault_meets_only_what_it_is_meant_for(server, ask):
    chat = server.faults.add(Fault.NO_USAGE, times=None, api="chat", match="MARK-x")
    role = server.faults.add(Fault.NULL_USAGE, times=None, role="embedding")
    ask("chat.completions", messages=HELLO)
    ask("chat.completions", messages=[{"role": "user", "content": "MARK-x"}])
    ask("embeddings", input="MARK-x")
    ask("responses", input="MARK-x")
    assert [bill.fault for bill in server.bills] == [None, "no_usage", "null_usage", None]
    assert (chat.hits, role.hits) == (1, 1)
    server.faults.clear()
    ask("embeddings", input="MARK-x")
    assert server.bills[-1].fault is None


# Errors


def post(server, path, body, *, method="POST", headers=()):
    connection = HTTPConnection(server.host, server.port)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json", **dict(headers)})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/v1/chat/completions", b"{", 400, (None, None)),
        ("/v1/chat/completions", [], 400, (None, None)),
        ("/v1/chat/completions", {"model": "m"}, 400, ("messages", "missing_required_parameter")),
        ("/v1/chat/completions", {"model": "m", "messages": []}, 400, ("messages", None)),
        ("/v1/chat/completions", {"messages": HELLO}, 400, (None, None)),
        ("/v1/chat/completions", {"model": "m", "messages": HELLO, **ASKED}, 400, ("stream_options", None)),
        ("/v1/chat/completions", {"model": "m", "messages": HELLO, "max_tokens": "9"}, 400, ("max_tokens", None)),
        ("/v1/chat/completions", {"model": "m", "messages": HELLO, "n": 0}, 400, ("n", None)),
        ("/v1/responses", {"model": "m"}, 400, ("input", "missing_required_parameter")),
        ("/v1/embeddings", {"model": "m"}, 400, ("input", "missing_required_parameter")),
        ("/v1/embeddings", {"model": "m", "input": []}, 400, ("input", None)),
        ("/v1/embeddings", {"model": "m", "input": ["one", ""]}, 400, ("input", None)),
        ("/v1/embeddings", {"model": "m", "input": "one", "dimensions": -1}, 400, ("dimensions", None)),
        ("/v1/rerank", {"model": "m", "query": "Scrooge"}, 400, ("documents", "missing_required_parameter")),
        ("/v1/rerank", {"model": "m", "documents": ["one"]}, 400, ("query", "missing_required_parameter")),
        ("/v1/reranks", {}, 404, (None, None)),
        ("/v1/models", {}, 405, (None, "method_not_supported")),
        ("/openai/deployments/mine/chat/completions", {"messages": HELLO}, 404, (None, "404")),
    ],
)
def test_errors_look_like_those_of_openai(server, path, body, status, told):
    got, content, headers = post(server, path, body)
    error = json.loads(content)["error"]
    assert (got, (error["param"], error["code"])) == (status, told)
    assert set(error) == {"message", "type", "param", "code"}
    assert headers["x-request-id"].startswith("req_")
    assert server.bills == server.refused == []


def test_wrong_keys_are_not_let_in():
    with StubServer(api_key="sk-right") as server:
        options = {"base_url": server.base_url, "api_key": "sk-wrong-key-0123456789", "max_retries": 0}
        with openai.OpenAI(**options) as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.code == "invalid_api_key"
        assert "sk-wrong-key-0123456789" not in caught.value.message
        with openai.OpenAI(base_url=server.base_url, api_key="sk-right") as client:
            client.chat.completions.create(model="m", messages=HELLO)
        with openai.AzureOpenAI(azure_endpoint=server.url, api_key="sk-right", api_version="2024-10-21") as client:
            client.embeddings.create(model="m", input="Scrooge")
        assert len(server.bills) == 2


# The server itself


def test_a_connection_serves_many_requests_and_chunked_bodies(server):
    connection = HTTPConnection(server.host, server.port)
    try:
        data = json.dumps({"model": "m", "input": "Scrooge"}).encode()
        connection.connect()
        socket = connection.sock
        for body in (data, iter([data[:9], data[9:]]), data):
            connection.request("POST", "/v1/embeddings", body, encode_chunked=True, headers=head_for(body))
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
            assert connection.sock is socket
    finally:
        connection.close()
    assert server.totals().embedding_calls == 3


def head_for(body):
    return {} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"}


def test_noise_on_the_line_harms_nobody(server):
    for noise in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n"):
        connection = HTTPConnection(server.host, server.port)
        connection.connect()
        connection.sock.sendall(noise)
        connection.close()
    assert post(server, "/v1/embeddings", {"model": "m", "input": "Scrooge"})[0] == 200


def test_the_same_question_gets_the_same_answer():
    answers = []
    for _ in range(2):
        with StubServer() as server:
            body = {"model": "m", "input": "Scrooge"}
            answers.append(json.loads(post(server, "/v1/embeddings", body)[1])["data"])
            chat = json.loads(post(server, "/v1/chat/completions", {"model": "m", "messages": HELLO})[1])
            answers.append([chat["choices"], chat["usage"]])
    assert answers[:2] == answers[2:]


def test_answers_of_your_own(server):
    def answer(prompt):
        return "Yes." if "Christmas" in prompt.last else None

    with StubServer(answer=answer, reasoning=0) as own, openai.OpenAI(base_url=own.base_url, api_key="any") as client:
        yes = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Is it Christmas?"}])
        client.chat.completions.create(model="m", messages=HELLO)
        assert yes.choices[0].message.content == "Yes."
        assert [bill.text == "Yes." for bill in own.bills] == [True, False]
        assert own.bills[0].completion_tokens == 2


def test_a_failing_answer_is_an_error_and_no_bill(caplog):
    def answer(prompt):
        raise ValueError("no idea")

    with StubServer(answer=answer) as server:
        status, body, _ = post(server, "/v1/chat/completions", {"model": "m", "messages": HELLO})
    assert (status, json.loads(body)["error"]["message"]) == (500, "ValueError('no idea')")
    assert server.bills == []
    assert "the stub server failed on POST /v1/chat/completions" in caplog.text


def test_starting_and_stopping():
    server = StubServer()
    with server:
        with pytest.raises(RuntimeError, match="already running"):
            server.start()
        with pytest.raises(OSError, match=str(server.port)), StubServer(port=server.port):
            pass
        post(server, "/v1/embeddings", {"model": "m", "input": "Scrooge"})
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        post(server, "/v1/models", b"", method="GET")
    assert len(server.bills) == 1
    server.stop()
    with server:
        assert post(server, "/v1/models", b"", method="GET")[0] == 200
    assert port


def test_the_command_runs_until_it_is_interrupted():
    command = [sys.executable, "-m", "ragmeter.testing", "--port", "0", "--dimensions", "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            base_url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=base_url, api_key="any") as client:
                vector = client.embeddings.create(model="m", input="Scrooge").data[0].embedding
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        finally:
            process.terminate()
    assert len(vector) == 8
    assert rest == "1 calls, 0 tokens, 2 embedding tokens\n"
    assert process.returncode == 0


def test_ragmeter_itself_does_not_load_the_stub():
    code = "import sys, ragmeter; print([name for name in sys.modules if name.startswith('ragmeter.testing')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_stub_needs_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import ragmeter.testing;"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "{'ragmeter'}\n"


def test_documents_are_short_prose():
    found = documents()
    assert len(found) >= 3
    for name, text in found.items():
        assert name.endswith(".txt")
        assert 3_000 < len(text.encode()) < 8_000
    assert sum("Scrooge" in text for text in found.values()) == 2
    origins = (resources.files("ragmeter.testing") / "documents" / "README.md").read_text(encoding="utf-8")
    assert [name for name in found if f"`{name}`" not in origins] == []


def test_the_example_in_the_documentation_runs():
    page = Path(__file__).parents[2] / "docs" / "testing.md"
    example = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-W", "error", "-c", example], check=True)


def test_the_documentation_names_every_fault():
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert [fault.name for fault in Fault if f"`{fault.name}`" not in page] == []
