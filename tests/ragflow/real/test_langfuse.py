"""What RAGFlow's own generations tell Langfuse: the bill, who asked, and an end in any case."""

import asyncio
from types import SimpleNamespace

import langfuse
import pytest

from ..receiver import Receiver  # noqa: TID252 - the folder has no name of its own that could be imported
from .kit import chat, collect, service

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def shared_receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def receiver(shared_receiver, kit, monkeypatch):
    keys = SimpleNamespace(public_key="pk", secret_key="sk", host=shared_receiver.url)
    tenants = service("tenant_llm_service").TenantLangfuseService
    monkeypatch.setattr(tenants, "filter_by_tenant", staticmethod(lambda tenant_id: keys))
    shared_receiver.keys = vars(keys)
    shared_receiver.spans.clear()
    return shared_receiver


def generations(receiver):
    langfuse.get_client(public_key="pk").flush()
    return receiver.generations()


def total(kit):
    return sum(bill.prompt_tokens + bill.completion_tokens for bill in kit.server.bills)


async def test_a_generation_tells_the_bill_and_who_asked(kit, receiver):
    kit.assert_exact(await collect(kit.canvas()))
    (one,) = generations(receiver)
    assert one["usage"]["total"] == total(kit)
    assert sum(count for name, count in one["usage"].items() if name != "total") == total(kit)
    assert (one["session"], one["user"]) == ("s1", "ann")


async def test_d10_a_generation_is_ended_when_its_call_is_cancelled(kit, receiver, monkeypatch):
    billed = asyncio.Event()

    async def work(**kwargs):
        bundle = kit.bundle()
        ask = bundle.mdl.async_chat

        async def billed_and_slow(*args, **kwargs):
            answer = await ask(*args, **kwargs)
            billed.set()
            await asyncio.sleep(60)
            return answer

        bundle.mdl.async_chat = billed_and_slow
        await chat(bundle)

    task = asyncio.create_task(kit.inside_a_run(monkeypatch, work))
    await billed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (one,) = generations(receiver)
    assert one["usage"]["total"] == total(kit)
    assert one["level"] == "ERROR"


def test_d19_the_generation_of_a_chat_is_a_span(kit, receiver):
    client = service("dialog_service").Langfuse(**receiver.keys)
    assert client.auth_check()
    trace = {"trace_id": client.create_trace_id()}
    one = client.start_observation(as_type="generation", trace_context=trace, name="chat", model="m", input={"a": 1})
    one.update(output="b", usage_details={"input": 1, "output": 2, "total": 3})
    one.end()
    assert generations(receiver) == []
    (span,) = receiver.spans
    assert span["langfuse.observation.type"] == "span"
    assert "langfuse.observation.usage_details" not in span
