"""The OpenAI observer, with the real SDK over HTTP, against the stub server's own bills.

`make test` runs this page with each generation of the SDK: 1.109, 2.x and 3.x.
"""

import asyncio
import gc
import json

import openai
import pytest

import ragmeter
from ragmeter.testing import BAD_USAGES, Fault

MESSAGES = [{"role": "user", "content": "Tell me of Scrooge, of Marley and of the counting-house. MARK-1"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}


@pytest.fixture(autouse=True)
def observed():
    ragmeter.instrument("openai")
    yield
    ragmeter.uninstrument("openai")


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        yield client


@pytest.fixture
async def aclient(server):
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any") as client:
        yield client


def counts_of(bills):
    return {
        "calls": len(bills),
        "input": sum(bill.prompt_tokens for bill in bills),
        "output": sum(bill.completion_tokens for bill in bills),
        "cached": sum(bill.cached_tokens for bill in bills),
        "reasoning": sum(bill.reasoning_tokens for bill in bills),
    }


def counts_in(run):
    usage = run.usage
    return {
        "calls": run.calls,
        "input": usage.input_tokens or 0,
        "output": usage.output_tokens or 0,
        "cached": usage.cache_read_tokens or 0,
        "reasoning": usage.reasoning_tokens or 0,
    }


def assert_exact(run, server):
    assert counts_in(run) == counts_of(server.bills)
    assert run.calls == run.totals.reported_calls > 0


def drain(stream):
    return list(stream)


def test_every_api_plain(server, client):
    with ragmeter.run() as run:
        client.chat.completions.create(**CHAT)
        client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Tell me of Scrooge.")
        client.responses.create(model="gpt-4o-mini", input="Tell me of Scrooge.")
        client.embeddings.create(model="text-embedding-3-small", input=["Scrooge", "Marley"])
    assert_exact(run, server)
    assert {key: totals.calls for key, totals in run.by("operation").items()} == {"chat": 3, "embeddings": 1}


def test_every_api_streamed(server, client):
    with ragmeter.run() as run:
        drain(client.chat.completions.create(**CHAT, stream=True))
        drain(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Tell me of Scrooge.", stream=True))
        drain(client.responses.create(model="gpt-4o-mini", input="Tell me of Scrooge.", stream=True))
    assert_exact(run, server)


async def test_every_api_async(server, aclient):
    async def drain(stream):
        async for _ in stream:
            pass

    async with ragmeter.run() as run:
        await aclient.chat.completions.create(**CHAT)
        await aclient.completions.create(model="gpt-3.5-turbo-instruct", prompt="Tell me of Scrooge.")
        await aclient.responses.create(model="gpt-4o-mini", input="Tell me of Scrooge.")
        await aclient.embeddings.create(model="text-embedding-3-small", input="Scrooge")
        await drain(await aclient.chat.completions.create(**CHAT, stream=True))
        await drain(await aclient.completions.create(model="gpt-4o-mini", prompt="Tell me of Marley.", stream=True))
        await drain(await aclient.responses.create(model="gpt-4o-mini", input="Tell me of Marley.", stream=True))
    assert_exact(run, server)


def test_the_labels_of_a_call(server, client):
    with ragmeter.run(tenant="acme", keep_calls=1) as run:
        answer = client.chat.completions.create(**CHAT)
    assert run.calls_list()[0].labels == {"operation": "chat", "model": answer.model, "tenant": "acme"}


def test_azure(server):
    with openai.AzureOpenAI(azure_endpoint=server.url, api_key="any", api_version="2024-10-21") as client:
        with ragmeter.run() as run:
            client.chat.completions.create(**CHAT)
            drain(client.chat.completions.create(**CHAT, stream=True))
            client.embeddings.create(model="text-embedding-3-small", input="Scrooge")
    assert_exact(run, server)


async def test_azure_async(server):
    async with openai.AsyncAzureOpenAI(azure_endpoint=server.url, api_key="any", api_version="2024-10-21") as client:
        async with ragmeter.run() as run:
            await client.chat.completions.create(**CHAT)
    assert_exact(run, server)


def test_raw_responses(server, client):
    with ragmeter.run() as run:
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        assert raw.parse().choices
        with client.chat.completions.with_streaming_response.create(**CHAT) as response:
            assert json.loads(b"".join(response.iter_bytes()))["choices"]
        with client.chat.completions.with_streaming_response.create(**CHAT) as response:
            assert response.parse().choices
        assert drain(client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse())
        with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            assert drain(response.iter_lines())
    assert_exact(run, server)


async def test_raw_responses_async(server, aclient):
    async with ragmeter.run() as run:
        raw = await aclient.chat.completions.with_raw_response.create(**CHAT)
        assert raw.parse().choices
        async with aclient.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            assert [line async for line in response.iter_lines()]
        async with aclient.chat.completions.with_streaming_response.create(**CHAT) as response:
            assert (await response.parse()).choices
    assert_exact(run, server)


def normal(chunk):
    return {**chunk.model_dump(exclude_unset=True), "id": None, "created": None}


def lines_of(client, **options):
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True, **options) as response:
        lines = list(response.iter_lines())
    return [{**json.loads(line[6:]), "id": 0, "created": 0} if line.startswith("data: {") else line for line in lines]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "with usage"])
def test_the_user_sees_exactly_the_stream_of_an_unobserved_sdk(server, client, options):
    ragmeter.uninstrument("openai")
    chunks = [normal(chunk) for chunk in client.chat.completions.create(**CHAT, stream=True, **options)]
    lines = lines_of(client, **options)
    server.reset()
    ragmeter.instrument("openai")
    with ragmeter.run() as run:
        assert [normal(chunk) for chunk in client.chat.completions.create(**CHAT, stream=True, **options)] == chunks
        assert lines_of(client, **options) == lines
    assert_exact(run, server)


def test_a_request_for_usage_can_be_switched_off(server, client):
    ragmeter.instrument("openai", include_usage=False)
    with ragmeter.run() as run:
        drain(client.chat.completions.create(**CHAT, stream=True))
        assert run.totals.estimated_calls == 1
        drain(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
        assert run.totals.reported_calls == 1


def test_a_user_who_refuses_usage_is_obeyed(server, client):
    with ragmeter.run() as run:
        drain(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": False}))
    assert (run.calls, run.totals.estimated_calls) == (1, 1)
    assert not server.bills[0].delivered


def test_a_server_that_refuses_the_option_is_asked_without_it(server, client):
    server.faults.add(Fault.REJECT_STREAM_OPTIONS, times=None)
    with ragmeter.run() as run:
        for _ in range(3):
            assert drain(client.chat.completions.create(**CHAT, stream=True))
    assert (run.calls, run.totals.estimated_calls, len(server.bills)) == (3, 3, 3)
    assert len(server.refused) == 1


def near(estimated, billed):
    """The stub has a rule of its own for what a token is; an estimate must be of its order, not its value."""
    return billed / 3 < estimated < billed * 3


@pytest.mark.parametrize("fault", [Fault.NO_USAGE, Fault.NULL_USAGE])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answer_without_usage_is_estimated(server, client, fault, stream):
    server.faults.add(fault)
    with ragmeter.run() as run:
        answer = client.chat.completions.create(**CHAT, stream=stream)
        if stream:
            drain(answer)
    bill = server.bills[0]
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert near(run.usage.input_tokens, bill.prompt_tokens)
    assert near(run.usage.output_tokens, bill.completion_tokens - bill.reasoning_tokens)


def test_embeddings_without_usage_are_estimated(server, client):
    server.faults.add(Fault.NO_USAGE)
    with ragmeter.run() as run:
        client.embeddings.create(model="text-embedding-3-small", input=["the counting-house", "of Scrooge"])
    assert (run.usage.origin, run.usage.output_tokens) == ("estimated", 0)
    assert near(run.usage.input_tokens, server.bills[0].prompt_tokens)


@pytest.mark.parametrize("name", sorted(BAD_USAGES))
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_usage_that_is_no_usage_never_reaches_the_host(server, client, name, stream):
    server.faults.add(Fault.BAD_USAGE, usage=BAD_USAGES[name])
    errors = ragmeter.health()["errors"]
    with ragmeter.run() as run:
        answer = client.chat.completions.create(**CHAT, stream=stream)
        if stream:
            drain(answer)
    assert run.calls == 1
    if stream or name != "bools":  # of a plain answer's bools the SDK itself makes numbers
        assert run.usage.origin in {"estimated", "unknown"} or run.usage.flags
    assert ragmeter.health()["errors"] == errors


def test_a_stream_that_is_cut_is_estimated(server, client):
    server.faults.add(Fault.CUT, after=3)
    with ragmeter.run() as run, pytest.raises((openai.APIError, OSError, Exception)):
        drain(client.chat.completions.create(**CHAT, stream=True))
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert 0 < run.usage.output_tokens < server.bills[0].completion_tokens


def read_some(stream):
    for number, _ in enumerate(stream):
        if number == 3:
            break


@pytest.mark.parametrize("leave", ["close", "break", "with"])
def test_a_stream_that_the_user_leaves_is_estimated(server, client, leave):
    with ragmeter.run() as run:
        stream = client.chat.completions.create(**CHAT, stream=True)
        if leave == "with":
            with stream:
                read_some(stream)
        else:
            read_some(stream)
            if leave == "close":
                stream.close()
        del stream
        gc.collect()
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert 0 < run.usage.output_tokens < server.bills[0].completion_tokens


async def test_an_async_stream_that_the_user_leaves_is_estimated(server, aclient):
    async with ragmeter.run() as run:
        stream = await aclient.chat.completions.create(**CHAT, stream=True)
        async for _ in stream:
            break
        await stream.close()
    assert (run.calls, run.usage.origin) == (1, "estimated")


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_stream_that_nobody_reads_is_not_a_silent_zero(server, client, leave):
    with ragmeter.run() as run:
        stream = client.chat.completions.create(**CHAT, stream=True)
        if leave == "close":
            stream.close()
        del stream
        gc.collect()
    assert run.calls == 1
    assert run.usage.origin in {"estimated", "unknown"}
    assert run.usage.input_tokens != 0


@pytest.mark.parametrize("fault", [Fault.USAGE_EVERY_CHUNK, Fault.USAGE_ON_FINISH])
def test_usage_in_other_places_of_a_stream_is_read_once(server, client, fault):
    server.faults.add(fault)
    with ragmeter.run() as run:
        drain(client.chat.completions.create(**CHAT, stream=True))
    assert_exact(run, server)


@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.TRUNCATED])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_empty_and_truncated_answers_cost_what_they_cost(server, client, fault, stream):
    server.faults.add(fault, times=None)
    with ragmeter.run() as run:
        for answer in (
            client.chat.completions.create(**CHAT, stream=stream),
            client.responses.create(model="gpt-4o-mini", input="Tell me of Scrooge.", stream=stream),
        ):
            if stream:
                drain(answer)
    assert_exact(run, server)


@pytest.mark.parametrize("fault", [Fault.RATE_LIMIT, Fault.SERVER_ERROR])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_refused_attempts_cost_nothing_and_the_retry_counts(server, client, fault, stream):
    server.faults.add(fault)
    with ragmeter.run() as run:
        answer = client.chat.completions.create(**CHAT, stream=stream)
        if stream:
            drain(answer)
    assert_exact(run, server)
    assert len(server.refused) == 1


def test_an_error_that_the_user_sees_costs_nothing(server):
    server.faults.add(Fault.SERVER_ERROR, times=None)
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        with ragmeter.run() as run, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**CHAT)
    assert (run.calls, server.bills) == (0, [])


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.SLOW])
def test_an_attempt_that_was_billed_and_lost_counts_as_unknown(server, fault):
    server.faults.add(fault, delay=5)
    with openai.OpenAI(base_url=server.base_url, api_key="any", timeout=0.5) as client, ragmeter.run() as run:
        client.chat.completions.create(**CHAT)
    assert run.calls == len(server.bills) == 2
    assert (run.totals.reported_calls, run.totals.unknown_calls) == (1, 1)
    assert run.usage.input_tokens == server.bills[1].prompt_tokens


async def test_an_attempt_that_was_lost_counts_in_async_too(server):
    server.faults.add(Fault.SLOW, delay=5)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any", timeout=0.5) as client:
        async with ragmeter.run() as run:
            await client.chat.completions.create(**CHAT)
    assert run.calls == len(server.bills) == 2
    assert (run.totals.reported_calls, run.totals.unknown_calls) == (1, 1)


async def test_a_cancelled_call_counts_as_unknown(server, aclient):
    server.faults.add(Fault.SLOW, delay=5)
    async with ragmeter.run() as run:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aclient.chat.completions.create(**CHAT), 0.5)
    assert (run.calls, run.totals.unknown_calls, len(server.bills)) == (1, 1, 1)


def test_a_server_that_is_not_there_costs_nothing():
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="any", max_retries=1) as client:
        with ragmeter.run() as run, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    assert run.calls == 0


async def test_a_stream_is_paid_by_the_run_that_asked_for_it(server, aclient):
    async with ragmeter.run() as asked:
        stream = await aclient.chat.completions.create(**CHAT, stream=True)

    async def read_elsewhere():
        async with ragmeter.run() as reading:
            async for _ in stream:
                pass
        return reading

    reading = await asyncio.create_task(read_elsewhere())
    assert reading.calls == 0
    assert_exact(asked, server)


async def test_fifty_streams_at_once_each_in_its_own_run(server, aclient):
    async def ask(number):
        async with ragmeter.run() as run:
            messages = [{"role": "user", "content": f"Tell me of MARK-x{number}x. " * (number + 1)}]
            stream = await aclient.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
            async for _ in stream:
                pass
        return run

    runs = await asyncio.gather(*map(ask, range(50)))
    for number, run in enumerate(runs):
        bills = server.bills_for(f"MARK-x{number}x")
        assert len(bills) == 1
        assert counts_in(run) == counts_of(bills)


def test_other_endpoints_are_left_alone(server, client):
    with ragmeter.run() as run:
        client.models.list()
    assert run.calls == 0


def test_uninstrument_puts_back_the_very_objects():
    ragmeter.uninstrument("openai")
    before = {(cls, name): vars(cls).get(name) for cls in (openai.OpenAI, openai.AsyncOpenAI) for name in dir(cls)}
    ragmeter.instrument("openai")
    ragmeter.instrument("openai")
    assert vars(openai.OpenAI)["request"] is not before[openai.OpenAI, "request"]
    ragmeter.uninstrument("openai")
    assert all(vars(cls).get(name) is value for (cls, name), value in before.items())
    assert ragmeter.instrumented() == frozenset()


def test_an_observer_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"no observer for 'closedai'; the observers are .*openai"):
        ragmeter.instrument("closedai")


def test_without_a_run_a_call_is_unattributed_and_still_counted(server, client):
    before = ragmeter.health()
    client.chat.completions.create(**CHAT)
    after = ragmeter.health()
    assert (after["calls"] - before["calls"], after["unattributed"] - before["unattributed"]) == (1, 1)
