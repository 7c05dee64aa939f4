"""What only one of the SDKs does."""

import asyncio
import gc
import json
import subprocess
import sys

import pytest

import ragmeter
from ragmeter.testing import Fault, StubServer

from .sdks import ACCESS, CLAUDE, CONVERSE, MESSAGES, TEXT, TEXTS, TITAN, Aioboto3

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]


def assert_exact(run, server):
    bills = server.bills
    assert run.calls == run.totals.reported_calls == len(bills) > 0
    assert run.usage.input_tokens == sum(bill.prompt_tokens for bill in bills)
    assert run.usage.output_tokens == sum(bill.completion_tokens for bill in bills)


def test_ollamas_own_functions_and_the_older_embeddings(server, monkeypatch):
    import ollama

    monkeypatch.setattr(ollama._client, "_client", ollama.Client(host=server.url)._client)
    ragmeter.instrument("ollama")
    with ragmeter.run() as run:
        ollama.chat(model="llama3", messages=MESSAGES)
        list(ollama.generate(model="llama3", prompt=TEXT, stream=True))
    assert_exact(run, server)
    with ragmeter.run() as run:
        ollama.embeddings(model="bge-m3", prompt=TEXT)  # says nothing of what it took
    assert (run.calls, run.usage.origin, run.usage.output_tokens) == (1, "estimated", 0)


def test_an_ollama_stream_that_nobody_reads_was_never_asked_for(server):
    import ollama

    ragmeter.instrument("ollama")
    with ragmeter.run() as run:
        ollama.Client(host=server.url).chat(model="llama3", messages=MESSAGES, stream=True).close()
    assert (run.calls, server.bills) == (0, [])


def test_an_ollama_that_is_not_there_costs_nothing():
    import ollama

    ragmeter.instrument("ollama")
    client = ollama.Client(host="http://127.0.0.1:9")
    with ragmeter.run() as run:
        with pytest.raises(Exception, match=r"(?i)connect"):
            client.chat(model="llama3", messages=MESSAGES)
        with pytest.raises(Exception, match="refused"):
            list(client.chat(model="llama3", messages=MESSAGES, stream=True))
    assert run.calls == 0


async def test_anthropic_raw_and_through_its_stream_manager(server):
    import anthropic

    ragmeter.instrument("anthropic")
    with anthropic.Anthropic(base_url=server.url, api_key="any") as client, ragmeter.run() as run:
        with client.messages.stream(**CLAUDE) as stream:
            assert stream.get_final_message().usage.output_tokens == server.bills[0].completion_tokens
        assert client.messages.with_raw_response.create(**CLAUDE).parse().content
        with client.messages.with_streaming_response.create(**CLAUDE) as response:
            assert json.loads(b"".join(response.iter_bytes()))["content"]
    assert_exact(run, server)
    server.reset()
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="any") as client:
        async with ragmeter.run() as run:
            async with client.messages.stream(**CLAUDE) as stream:
                assert [text async for text in stream.text_stream]
    assert_exact(run, server)


def test_what_anthropic_had_cached_is_part_of_the_input(server):
    import anthropic

    ragmeter.instrument("anthropic")
    long = [{"role": "user", "content": f"{TEXT} " * 200}]
    with anthropic.Anthropic(base_url=server.url, api_key="any") as client, ragmeter.run() as run:
        for _ in range(2):
            client.messages.create(**{**CLAUDE, "messages": long})
    assert_exact(run, server)
    assert run.usage.cache_read_tokens == server.bills[1].cached_tokens > 1000


def test_every_request_that_gemini_makes_by_itself_counts(server):
    from google import genai

    def weather(city: str) -> str:
        """The weather in a city."""
        return "fog"

    ragmeter.instrument("google.genai")
    client = genai.Client(api_key="any", http_options={"base_url": server.url})
    with ragmeter.run() as run:
        chat = client.chats.create(model="gemini-2.5-flash", config={"tools": [weather]})
        chat.send_message(TEXT)
        for _ in chat.send_message_stream("And then?"):
            pass
    assert len(server.bills) == 2
    assert_exact(run, server)
    assert run.usage.reasoning_tokens == sum(bill.reasoning_tokens for bill in server.bills)


def test_claude_through_bedrock_and_gemini_through_vertex_ai(server):
    import anthropic
    from google import genai

    ragmeter.instrument()
    access = {"aws_access_key": "any", "aws_secret_key": "any", "aws_region": "us-east-1"}
    with anthropic.AnthropicBedrock(base_url=server.url, **access) as client, ragmeter.run() as run:
        client.messages.create(**CLAUDE)
        assert list(client.messages.create(stream=True, **CLAUDE))
    assert_exact(run, server)
    server.reset()
    client = genai.Client(vertexai=True, api_key="any", http_options={"base_url": server.url})
    with ragmeter.run() as run:
        client.models.generate_content(model="gemini-2.5-flash", contents=TEXT)
        assert list(client.models.generate_content_stream(model="gemini-2.5-flash", contents=TEXT))
    assert_exact(run, server)
    assert set(run.by("provider")) == {"gcp.vertex_ai"}


@pytest.mark.parametrize("whole", [True, False], ids=["with headers", "without"])
async def test_what_bedrock_invokes(server, monkeypatch, whole):
    import boto3

    from ragmeter.testing.dialects.bedrock import Bedrock

    if not whole:
        monkeypatch.setattr(Bedrock, "headers", lambda *_: {})  # a gateway that drops them; the body tells
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": MESSAGES})
    invoke = {"modelId": "anthropic.claude-haiku", "body": body}
    ragmeter.instrument("boto3", "aioboto3")
    client = boto3.client("bedrock-runtime", endpoint_url=server.url, **ACCESS)
    async with ragmeter.run() as run:
        assert json.loads(client.invoke_model(**invoke)["body"].read())["content"]
        assert list(client.invoke_model_with_response_stream(**invoke)["body"])
        async with Aioboto3(server).client() as aclient:
            assert (await (await aclient.invoke_model(**invoke))["body"].json())["content"]
            assert json.loads(await (await aclient.invoke_model(**invoke))["body"].read())["content"]
            stream = (await aclient.invoke_model_with_response_stream(**invoke))["body"]
            assert [event async for event in stream]
    assert_exact(run, server)
    if not whole:
        with ragmeter.run() as run:
            json.load(client.invoke_model(**TITAN)["body"])
        assert (run.calls, run.usage.origin) == (1, "estimated")


async def test_a_bedrock_stream_left_where_the_message_stops_is_exact(server):
    """LightRAG's binding stops there, before the event with the usage."""
    import boto3
    from botocore.eventstream import EventStream

    ragmeter.instrument("boto3", "aioboto3")
    client = boto3.client("bedrock-runtime", endpoint_url=server.url, **ACCESS)
    async with ragmeter.run() as run:
        stream = client.converse_stream(**CONVERSE)["stream"]
        assert isinstance(stream, EventStream)
        for event in stream:
            if "messageStop" in event:
                break
        stream.close()
        async with Aioboto3(server).client() as aclient:
            stream = (await aclient.converse_stream(**CONVERSE))["stream"]
            async for event in stream:
                if "messageStop" in event:
                    break
            stream.close()
    assert_exact(run, server)


def test_a_bedrock_stream_that_nobody_reads_is_not_a_silent_zero(server):
    import boto3

    ragmeter.instrument("boto3")
    with ragmeter.run() as run:
        boto3.client("bedrock-runtime", endpoint_url=server.url, **ACCESS).converse_stream(**CONVERSE)
        gc.collect()
    assert (run.calls, len(server.bills)) == (1, 1)
    assert run.usage.origin == "estimated"
    assert run.usage.input_tokens > 0


def test_other_services_of_amazon_are_left_alone(server):
    import boto3

    ragmeter.instrument("boto3")
    client = boto3.client("s3", endpoint_url=server.url, **ACCESS)
    with ragmeter.run() as run, pytest.raises(Exception, match="404"):
        client.head_bucket(Bucket="any")
    assert run.calls == 0


async def test_voyage_reranks_and_is_seen_once_although_aiohttp_is_observed(server):
    import voyageai

    ragmeter.instrument("voyageai", "aiohttp")
    access = {"api_key": "any", "base_url": f"{server.url}/voyage/v1"}
    async with ragmeter.run() as run:
        voyageai.Client(**access).rerank("Scrooge", TEXTS, model="rerank-2")
        await voyageai.AsyncClient(**access).rerank("Scrooge", TEXTS, model="rerank-2")
    assert_exact(run, server)
    assert set(run.by("operation")) == {"rerank"}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/api/v1/services/rerank/text-rerank/text-rerank"])
async def test_rerankers_called_through_aiohttp(server, path):
    import aiohttp

    ragmeter.instrument("aiohttp")
    body = {"model": "reranker", "query": "Scrooge", "documents": TEXTS}
    if "text-rerank" in path:
        body = {"model": "reranker", "input": {"query": "Scrooge", "documents": TEXTS}}
    for fault in (None, Fault.NO_USAGE):
        server.faults.script(fault)
        async with ragmeter.run() as run, aiohttp.ClientSession() as session:
            async with session.post(server.url + path, data=json.dumps(body)) as response:
                assert await response.json(content_type=None)
        assert (run.calls, run.totals.reported_calls) == (1, int(fault is None))
        if path == "/v2/rerank" and fault is None:
            assert (run.usage.search_units, run.usage.input_tokens) == (1, None)
        elif fault is None:
            assert run.usage.input_tokens == server.bills[-1].prompt_tokens
        else:
            assert run.usage.input_tokens > 0
            assert run.usage.output_tokens == 0  # it writes none, as every reranker


@pytest.mark.parametrize(
    "read",
    [
        "read",
        "text",
        "json",
        "content.read",
        "readany",
        "readline",
        "iter_any",
        "iter_chunked",
        "iter_chunks",
        "async for",
    ],
)
async def test_however_an_answer_is_read_from_aiohttp(server, read):
    import aiohttp

    ragmeter.instrument("aiohttp")
    async with ragmeter.run() as run, aiohttp.ClientSession() as session:
        body = {"model": "gpt-4o-mini", "messages": MESSAGES}
        async with session.post(f"{server.base_url}/chat/completions", json=body) as response:
            content = response.content
            assert isinstance(content, aiohttp.StreamReader)
            if hasattr(response, read):
                answer = await getattr(response, read)()
            elif read == "content.read":
                answer = await content.read()
            elif read == "async for":
                answer = [line async for line in content]
            elif read.startswith("iter"):
                answer = [piece async for piece in getattr(content, read)(*[16] if read == "iter_chunked" else [])]
            else:
                answer = []
                while not content.at_eof():
                    answer.append(await getattr(content, read)())
            assert answer
    assert_exact(run, server)


async def test_other_traffic_of_aiohttp_is_left_alone(server):
    import aiohttp

    ragmeter.instrument("aiohttp")
    async with ragmeter.run() as run, aiohttp.ClientSession() as session:
        for method, path, body in (
            ("GET", "/v1/models", None),
            ("POST", "/v1/embeddings", {"hello": "world"}),
            ("POST", "/orders/rerank", ["no", "object"]),
            ("POST", "/somewhere/else", {"messages": MESSAGES, "input": TEXT}),
        ):
            async with session.request(method, server.url + path, json=body) as response:
                assert type(response.content) is aiohttp.StreamReader
                assert not {"release", "close"} & set(vars(response))
                await response.read()
    assert run.calls == 0


async def test_an_aiohttp_answer_that_nobody_reads_is_not_a_silent_zero(server):
    import aiohttp

    ragmeter.instrument("aiohttp")
    async with ragmeter.run() as run, aiohttp.ClientSession() as session:
        async with session.post(f"{server.base_url}/embeddings", json={"model": "m", "input": TEXTS}) as response:
            pass
    assert not {"release", "close"} & set(vars(response))
    assert run.calls == 1
    assert run.usage.origin in {"estimated", "reported"}


async def test_a_server_that_is_not_there_costs_nothing_and_one_that_is_slow_may():
    import aiohttp

    ragmeter.instrument("aiohttp")
    body = {"model": "m", "input": TEXTS}
    async with ragmeter.run() as run, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post("http://127.0.0.1:9/v1/embeddings", json=body)
    assert run.calls == 0
    with StubServer() as server:
        server.faults.add(Fault.SLOW, delay=5)
        async with ragmeter.run() as run, aiohttp.ClientSession() as session:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(session.post(f"{server.base_url}/embeddings", json=body), 0.3)
        assert (run.calls, run.totals.unknown_calls, len(server.bills)) == (1, 1, 1)


def test_everything_is_observed_as_it_is_imported_and_nothing_is_imported_for_it():
    code = """
import sys, ragmeter
sdks = {"ollama", "openai", "anthropic", "google.genai", "botocore", "aiobotocore", "aiohttp", "voyageai", "zhipuai"}
ragmeter.instrument()
assert not sdks & set(sys.modules) and not ragmeter.instrumented()
import zhipuai
own = zhipuai.core._http_client.HttpClient.request
assert ragmeter.instrumented() == {"zhipuai"}
import aiohttp
assert ragmeter.instrumented() == {"zhipuai", "aiohttp"}
ragmeter.uninstrument()
assert not ragmeter.instrumented()
assert zhipuai.core._http_client.HttpClient.request is own.__wrapped__
before = len(sys.meta_path)
import ollama
assert not ragmeter.instrumented()
assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("ragmeter")]
print("well")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "well\n", done.stderr
