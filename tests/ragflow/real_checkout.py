"""ragmeter against a real checkout of RAGFlow: `make test-ragflow RAGFLOW=path/to/checkout`, Python 3.13.

RAGFlow's own canvas, components, bundle, model classes, timeouts and thread pools run; the models behind them are the
stub server's, the database and what else is not installed are stand-ins.
"""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ragmeter
from ragmeter import ragflow
from ragmeter.testing import StubServer

sys.path.insert(0, str(Path(__file__).parent))
import checkout

pytestmark = pytest.mark.filterwarnings("ignore")

MODULES = (
    "common.token_utils",
    "common.connection_utils",
    "common.misc_utils",
    "rag.llm.chat_model",
    "api.db.services.tenant_llm_service",
    "api.db.services.llm_service",
    "agent.component.llm",
    "agent.component.message",
    "agent.tools.base",
    "agent.canvas",
)

CONFIG = {"llm_name": "gpt-4o-mini", "llm_factory": "OpenAI-API-Compatible", "model_type": "chat", "max_tokens": 8192}

runs = []


def node(name, params, upstream, downstream):
    return {"obj": {"component_name": name, "params": params}, "upstream": upstream, "downstream": downstream}


def dsl(message, prompt):
    llm = {"llm_id": "gpt-4o-mini@X", "sys_prompt": "Be brief.", "prompts": [{"role": "user", "content": prompt}]}
    return json.dumps(
        {
            "components": {
                "begin": node("Begin", {"mode": "conversational", "prologue": "Hi"}, [], ["LLM:0"]),
                "LLM:0": node("LLM", llm, ["begin"], ["Message:0"]),
                "Message:0": node("Message", message, ["LLM:0"], []),
            },
            "history": [],
            "path": [],
            "retrieval": [],
            "memory": [],
            "variables": {},
            "globals": {
                "sys.query": "",
                "sys.user_id": "u",
                "sys.conversation_turns": 0,
                "sys.files": [],
                "sys.history": [],
            },
        }
    )


@pytest.fixture(scope="session")
def real():
    checkout.use(os.environ["RAGFLOW"])
    ragflow.install(runs=True, keep_calls=100, on_run=runs.append)
    return SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in MODULES})


@pytest.fixture(scope="session")
def stub():
    with StubServer() as server:
        yield server


@pytest.fixture
def kit(real, stub, monkeypatch):
    stub.reset()
    runs.clear()
    service = importlib.import_module("api.db.services.tenant_llm_service")

    def model(config, lang="English", **kwargs):
        return real.chat_model.Base("any", config["llm_name"], stub.base_url, **kwargs)

    monkeypatch.setattr(service.TenantLLMService, "model_instance", staticmethod(model))
    monkeypatch.setattr(service.TenantLangfuseService, "filter_by_tenant", staticmethod(lambda tenant_id: None))
    monkeypatch.setattr(real.llm, "resolve_model_type", lambda *args: ["chat"])
    monkeypatch.setattr(real.llm, "resolve_model_config", lambda *args: dict(CONFIG))
    for name in ("agent.canvas", "agent.component.base"):
        module = importlib.import_module(name)
        if hasattr(module, "has_canceled"):
            monkeypatch.setattr(module, "has_canceled", lambda *args: False)
    monkeypatch.setattr(real.canvas.Canvas, "is_canceled", lambda self: False, raising=False)
    return SimpleNamespace(real=real, server=stub, model=model)


def canvas(kit, content="{LLM:0@content}", prompt="What did Marley leave to Scrooge?", id_="c1", **message):
    return kit.real.canvas.Canvas(dsl({"content": [content], **message}, prompt), "acme", canvas_id=id_)


def bundle(kit, tenant="acme"):
    return kit.real.llm_service.LLMBundle(tenant, dict(CONFIG))


def usages(events):
    return [event["data"]["usage"] for event in events if "usage" in (event.get("data") or {})]


def assert_exact(kit, events=None):
    bills = kit.server.bills
    assert bills
    prompt, completion = (sum(getattr(bill, f"{kind}_tokens") for bill in bills) for kind in ("prompt", "completion"))
    (run,) = runs
    assert (run.usage.input_tokens, run.usage.output_tokens, run.calls) == (prompt, completion, len(bills))
    if events is not None:
        expected = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "calls": len(bills),
        }
        assert usages(events)[-1] == expected
    assert_clean()


def assert_clean():
    assert ragflow.token_usage_sink.get() is None
    assert ragflow.langfuse_run_attrs.get() is None
    assert ragmeter.current_run() is None


async def collect(canvas_, **kwargs):
    return [event async for event in canvas_.run(query="q", user_id="ann", session_id="s1", **kwargs)]


def test_the_names_are_ragmeters(real):
    for name in ragflow.names.NAMES:
        assert hasattr(real.token_utils, name)
    assert real.llm_service.record_run_token_usage is ragflow.record_run_token_usage
    assert real.canvas.token_usage_sink is ragflow.token_usage_sink
    assert "tiktoken" not in vars(real.token_utils)


async def test_a_an_answer_that_is_streamed(kit):
    events = await collect(canvas(kit))
    assert "workflow_finished" in {event["event"] for event in events}, events
    assert_exact(kit, events)
    (call,) = runs[0].calls_list()
    labels = call.labels
    assert (labels["tenant"], labels["user"], labels["session"]) == ("acme", "ann", "s1")
    assert labels["component"] == "LLM:0"
    kinds = [event["event"] for event in events if "usage" in (event.get("data") or {})]
    assert kinds == ["message_end", "workflow_finished"]


@pytest.mark.parametrize(
    "message",
    [{"content": "{% if true %}{LLM:0@content}{% endif %}"}, {"stream": False}],
    ids=["B a template", "C no stream"],
)
async def test_b_c_an_answer_in_the_thread_of_a_timeout(kit, message):
    assert_exact(kit, await collect(canvas(kit, **message)))


async def test_d_a_client_that_leaves(kit):
    source = canvas(kit).run(query="q", user_id="ann")
    async for event in source:
        if event["event"] == "message":
            break
    await source.aclose()
    for _ in range(200):
        if runs and runs[0].calls:
            break
        await asyncio.sleep(0.01)
    assert (runs[0].calls, len(kit.server.bills)) == (1, 1)
    assert runs[0].usage.origin == "estimated"
    assert runs[0].usage.input_tokens > 0
    assert_clean()


async def test_e_one_task_for_each_event(kit):
    source, events = canvas(kit).run(query="q", user_id="ann"), []
    while True:
        try:
            events.append(await asyncio.wait_for(asyncio.create_task(anext(source)), 30))
        except StopAsyncIteration:
            break
    assert_exact(kit, events)


async def inside_a_run(kit, monkeypatch, work):
    """Run `work` where the LLM component would work."""
    canvas_ = canvas(kit, content="done")
    monkeypatch.setattr(canvas_.components["LLM:0"]["obj"], "_invoke_async", work)
    return await collect(canvas_)


def chat(bundle_, text="Who is Fred?"):
    return bundle_.async_chat("Be brief.", [{"role": "user", "content": text}])


async def test_g_run_coroutine_sync(kit, monkeypatch):
    async def work(**kwargs):
        bundle_ = bundle(kit)
        bundle_._run_coroutine_sync(chat(bundle_))

    assert_exact(kit, await inside_a_run(kit, monkeypatch, work))


async def test_h_sync_from_async_stream(kit, monkeypatch):
    async def work(**kwargs):
        bundle_ = bundle(kit)
        history = [{"role": "user", "content": "Who is Fred?"}]
        await asyncio.to_thread(
            list, bundle_._sync_from_async_stream(bundle_.async_chat_streamly, "Be brief.", history)
        )

    assert_exact(kit, await inside_a_run(kit, monkeypatch, work))


async def test_i_j_l_threads_with_and_without_context(kit, monkeypatch):
    async def work(**kwargs):
        bundle_ = bundle(kit)

        @kit.real.connection_utils.timeout(60)
        def in_a_bare_thread():
            asyncio.run(chat(bundle_))

        in_a_bare_thread()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: asyncio.run(chat(bundle(kit))))
        await kit.real.misc_utils.thread_pool_exec(lambda: asyncio.run(chat(bundle(kit))))

    events = await inside_a_run(kit, monkeypatch, work)
    assert len(kit.server.bills) == 3
    assert_exact(kit, events)


async def test_p_cancelled_after_a_billed_round(kit, monkeypatch):
    billed = asyncio.Event()

    async def work(**kwargs):
        await chat(bundle(kit))
        billed.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(inside_a_run(kit, monkeypatch, work))
    await billed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_exact(kit)


async def test_q_r_at_once_on_one_bundle(kit, monkeypatch):
    async def work(**kwargs):
        bundle_ = bundle(kit)
        await asyncio.gather(*(chat(bundle_, "Who is Fred? " * (at + 1)) for at in range(5)))

    assert_exact(kit, await inside_a_run(kit, monkeypatch, work))


async def test_s_two_runs_in_one_task(kit):
    open_ = {
        marker: canvas(kit, prompt=f"Who is Fred? MARK-{marker}", id_=f"c{marker}").run(query="q", user_id=f"u{marker}")
        for marker in (1, 2)
    }
    while open_:
        for marker, source in list(open_.items()):
            try:
                await anext(source)
            except StopAsyncIteration:
                del open_[marker]
            assert_clean()
    assert len(runs) == 2
    for run in runs:
        bills = kit.server.bills_for(f"MARK-{run.name[1:]}")
        assert bills
        assert run.usage.input_tokens == sum(bill.prompt_tokens for bill in bills)
        assert {call.labels["user"] for call in run.calls_list()} == {f"u{run.name[1:]}"}


async def test_tools_with_rounds_on_the_real_model_class(kit, monkeypatch):
    class Session:
        async def tool_call_async(self, name, arguments):
            return "nothing found"

    schema = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}

    async def work(**kwargs):
        bundle_ = bundle(kit)
        bundle_.is_tools = True
        bundle_.bind_tools(Session(), [schema])
        await chat(bundle_)
        async for _ in bundle_.async_chat_streamly("Be brief.", [{"role": "user", "content": "Who is Fred?"}]):
            pass

    events = await inside_a_run(kit, monkeypatch, work)
    assert len(kit.server.bills) >= 2
    assert_exact(kit, events)


def test_uninstall_brings_everything_back(real):
    ragflow.uninstall()
    assert real.canvas.Canvas.run.__code__.co_filename.endswith("agent/canvas.py")
    assert real.llm_service.LLMBundle.encode.__code__.co_filename.endswith("llm_service.py")
    assert real.chat_model.Base.__dict__.get("last_usage") is None
