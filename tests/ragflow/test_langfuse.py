"""What Langfuse gets: of RAGFlow's own generations, and of the exporter for any host."""

import asyncio

import langfuse
import pytest

import ragmeter
from ragmeter import ragflow
from ragmeter.export.langfuse import LangfuseExporter
from ragmeter.testing import Fault

from .conftest import import_host
from .kit import Kit, chat, history
from .receiver import Receiver


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def shared_client(receiver):
    client = langfuse.Langfuse(public_key="pk", secret_key="sk", base_url=receiver.url)
    yield client
    client.shutdown()


@pytest.fixture
def client(receiver, shared_client):
    shared_client.flush()
    receiver.spans.clear()
    return shared_client


@pytest.fixture
def kit(host_path, server):
    runs = []
    ragflow.install(runs=True, on_run=runs.append, keep_calls=50)
    return Kit(import_host(), server, runs)


def total_of(bill):
    return bill.prompt_tokens + bill.completion_tokens


async def test_generations_of_an_agent_carry_the_bill_and_who_asked(kit, client, receiver):
    bundle = kit.bundle(langfuse=client)
    plain = kit.bundle(kit.model("Plain"), langfuse=client)

    async def work(component):
        await chat(bundle)
        await asyncio.to_thread(plain.encode, ["Marley"])
        await asyncio.to_thread(plain.similarity, "Who?", ["Marley"])
        list(plain.tts("Humbug!"))
        return bundle.async_chat_streamly_delta("Be brief.", history())

    await kit.run(work)
    client.flush()
    got = receiver.generations()
    assert [one["name"] for one in got] == ["chat", "encode", "similarity", "tts", "chat_streamly"]
    assert {(one["session"], one["user"]) for one in got} == {("s1", "ann")}
    bills = kit.server.bills
    chats = [got[0], got[4]]
    for one, bill in zip(chats, [bills[0], bills[-1]], strict=True):
        usage = one["usage"]
        assert usage["total"] == total_of(bill)
        assert usage["input"] == bill.prompt_tokens - bill.cached_tokens
        assert usage["output"] == bill.completion_tokens - bill.reasoning_tokens
        assert usage["output_reasoning_tokens"] == bill.reasoning_tokens
        assert sum(count for name, count in usage.items() if name != "total") == usage["total"]
    assert got[1]["usage"]["total"] == total_of(bills[1])
    assert got[2]["usage"]["total"] == total_of(bills[2])
    assert got[3]["usage"]["total"] == ragflow.num_tokens_from_string("Humbug!")


async def test_a_generation_is_ended_when_the_call_fails(kit, client, receiver):
    bundle = kit.bundle(langfuse=client)

    async def fail():
        raise RuntimeError("out of tools")

    bundle.mdl.pause, bundle.mdl.async_chat = fail, lambda system, history, conf: bundle.mdl._async_chat(history)

    async def work(component):
        await chat(bundle)

    await kit.run(work)
    client.flush()
    (one,) = receiver.generations()
    assert one["level"] == "ERROR"
    assert one["usage"]["total"] == total_of(kit.server.bills[0])


async def test_a_generation_is_ended_when_the_call_is_cancelled(kit, client, receiver):
    bundle, billed = kit.bundle(langfuse=client), asyncio.Event()

    async def hang():
        billed.set()
        await asyncio.sleep(60)

    bundle.mdl.pause = hang
    task = asyncio.create_task(chat(bundle))
    await billed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    client.flush()
    (one,) = receiver.generations()
    assert one["usage"]["total"] == total_of(kit.server.bills[0])


async def test_a_generation_is_ended_when_the_client_leaves_a_stream(kit, client, receiver):
    kit.server.faults.add(Fault.SLOW, delay=0, pause=0.02)
    pieces = kit.bundle(langfuse=client).async_chat_streamly_delta("Be brief.", history())
    async for _ in pieces:
        break
    await pieces.aclose()
    client.flush()
    (one,) = receiver.generations()
    assert one["usage"]["input"] > 0


async def test_d19_a_chat_is_one_generation(kit, client, receiver):
    keys = {"public_key": "pk", "secret_key": "sk", "base_url": receiver.url}
    async for _ in kit.host.dialog_service.async_chat(kit.bundle(langfuse=client), history(), **keys):
        pass
    client.flush()
    (one,) = receiver.generations()
    assert one["usage"]["total"] == total_of(kit.server.bills[0])
    chat_span = next(span for span in receiver.spans if span["name"] == "chat")
    assert chat_span["langfuse.observation.type"] == "span"
    assert chat_span["trace"] == one["trace"]
    assert chat_span["langfuse.observation.output"]
    assert "langfuse.observation.usage_details" not in chat_span


def test_the_exporter_sends_calls_of_any_host(client, receiver):
    exporter = LangfuseExporter(client)
    with ragmeter.run("q", session="s9", user="bob", tenant="acme", listeners=[exporter]):
        usage = ragmeter.Usage(input_tokens=100, cache_read_tokens=60, output_tokens=30, reasoning_tokens=20)
        ragmeter.record(usage, model="gpt-5", operation="chat")
        ragmeter.record(ragmeter.Usage(input_tokens=7, output_tokens=0), model="e", operation="embeddings")
        ragmeter.record(ragmeter.Usage(origin="unknown"), model="gpt-5", operation="chat")
    exporter.flush()
    got = receiver.generations()
    assert [one["usage"] for one in got] == [
        {"input": 40, "input_cached_tokens": 60, "output": 10, "output_reasoning_tokens": 20, "total": 130},
        {"input": 7, "output": 0, "total": 7},
        None,
    ]
    assert {(one["session"], one["user"]) for one in got} == {("s9", "bob")}
    assert len({one["trace"] for one in got}) == 1
    assert receiver.spans[0]["langfuse.observation.metadata.tenant"] == "acme"
    assert receiver.spans[0]["langfuse.observation.metadata.origin"] == "reported"
    assert receiver.spans[0]["langfuse.observation.model.name"] == "gpt-5"


def test_the_exporter_refuses_another_sdk():
    with pytest.raises(ImportError, match=r"needs langfuse 3\.9"):
        LangfuseExporter(object())
