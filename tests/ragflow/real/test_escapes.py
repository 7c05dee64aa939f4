"""The escapes that were measured in RAGFlow, by their letters, driven on its own code: see docs/ragflow.md.

RAGFlow's own canvas, components, bundle, model classes, timeouts and thread pools run, with OpenAI's SDK and LiteLLM;
the models behind them are the stub server's. The database and what else is not installed are stand-ins.
"""

import asyncio

import pytest

from ragmeter.testing import Fault

from .kit import ASK, assert_clean, chat, collect, dsl, history, llm, node, usages

pytestmark = pytest.mark.filterwarnings("ignore")


async def test_a_an_answer_that_is_streamed(kit):
    events = await collect(kit.canvas())
    assert "workflow_finished" in {event["event"] for event in events}, events
    kit.assert_exact(events)
    (call,) = kit.runs[0].calls_list()
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
    kit.assert_exact(await collect(kit.canvas(**message)))


async def test_d_a_client_that_leaves(kit):
    kit.server.faults.add(Fault.SLOW, delay=0, pause=0.2)  # so that more is to come when the client leaves
    source = kit.canvas().run(query="q", user_id="ann")
    async for event in source:
        if event["event"] == "message":
            break
    await source.aclose()
    for _ in range(200):
        if kit.runs and kit.runs[0].calls:
            break
        await asyncio.sleep(0.01)
    run = kit.runs[0]
    assert (run.calls, len(kit.server.bills)) == (1, 1)
    assert run.usage.origin == "estimated"
    assert run.usage.input_tokens > 0
    assert_clean()


async def test_e_one_task_for_each_event(kit):
    source, events = kit.canvas().run(query="q", user_id="ann"), []
    while True:
        try:
            events.append(await asyncio.wait_for(asyncio.create_task(anext(source)), 30))
        except StopAsyncIteration:
            break
    kit.assert_exact(events)


async def test_g_run_coroutine_sync(kit, monkeypatch):
    async def work(**kwargs):
        bundle = kit.bundle()
        bundle._run_coroutine_sync(chat(bundle))

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))


async def test_h_sync_from_async_stream(kit, monkeypatch):
    async def work(**kwargs):
        bundle = kit.bundle()
        stream = bundle._sync_from_async_stream(bundle.async_chat_streamly, "Be brief.", history())
        await asyncio.to_thread(list, stream)

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))


async def test_i_an_executor_that_knows_no_context(kit, monkeypatch):
    async def work(**kwargs):
        await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(chat(kit.bundle())))

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))


async def test_j_k_m_n_what_worked_before_still_works(kit, monkeypatch):
    @kit.real.connection_utils.timeout(60)
    async def in_time():
        await chat(kit.bundle())

    async def work(**kwargs):
        await kit.real.misc_utils.thread_pool_exec(lambda: asyncio.run(chat(kit.bundle())))
        await asyncio.to_thread(lambda: asyncio.run(chat(kit.bundle())))
        await in_time()
        await asyncio.gather(chat(kit.bundle()), chat(kit.bundle()))

    events = await kit.inside_a_run(monkeypatch, work)
    assert len(kit.server.bills) == 5
    kit.assert_exact(events)


async def test_l_a_plain_function_under_a_timeout(kit, monkeypatch):
    @kit.real.connection_utils.timeout(60)
    def in_a_bare_thread():
        asyncio.run(chat(kit.bundle()))

    async def work(**kwargs):
        in_a_bare_thread()

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))


async def test_o_a_model_that_raises_after_a_billed_round(kit, monkeypatch):
    async def work(**kwargs):
        bundle = kit.bundle()
        ask = bundle.mdl.async_chat

        async def billed_and_broken(*args, **kwargs):
            await ask(*args, **kwargs)
            raise RuntimeError("out of tools")

        bundle.mdl.async_chat = billed_and_broken
        await chat(bundle)

    events = await kit.inside_a_run(monkeypatch, work)
    assert "out of tools" in events[-1]["data"]["error"]
    assert "workflow_finished" not in {event["event"] for event in events}
    kit.assert_exact(events)
    assert "usage" in events[-1]["data"]


async def test_o_the_last_event_of_a_failed_batch_tells_the_usage(kit, monkeypatch):
    """RAGFlow ends the component that failed first, and then the one beside it, which did not fail."""
    source = dsl(
        {
            "begin": node("Begin", {"mode": "conversational", "prologue": "Hi"}, [], ["LLM:0", "LLM:1"]),
            "LLM:0": llm(ASK, ["begin"], []),
            "LLM:1": llm(ASK, ["begin"], []),
        }
    )
    canvas = kit.real.canvas.Canvas(source, "acme", canvas_id="c1")

    async def fail(**kwargs):
        await chat(kit.bundle())
        raise RuntimeError("out of tools")

    monkeypatch.setattr(canvas.components["LLM:0"]["obj"], "_invoke_async", fail)
    events = await collect(canvas)
    assert events[-1]["event"] == "node_finished"
    assert events[-1]["data"]["component_id"] == "LLM:1"
    assert len(kit.server.bills) == 2
    assert usages(events[-1:])
    kit.assert_exact(events)


async def test_o_a_run_that_raises_tells_the_usage_in_an_event_more(kit, monkeypatch):
    """A task that is cancelled between two components: RAGFlow raises out of the run."""
    canvas, events = kit.canvas(content="done"), []

    async def work(**kwargs):
        await chat(kit.bundle())
        monkeypatch.setattr(kit.real.canvas.Canvas, "is_canceled", lambda self: True)

    monkeypatch.setattr(canvas.components["LLM:0"]["obj"], "_invoke_async", work)
    with pytest.raises(kit.real.canvas.TaskCanceledException):
        await collect(canvas, events)
    kit.assert_exact(events)
    frames = [(event["message_id"], event["task_id"]) for event in events]
    assert set(frames) == {frames[0]}
    assert events[-1]["event"] == "workflow_finished"


async def test_p_cancelled_after_a_billed_round(kit, monkeypatch):
    billed = asyncio.Event()

    async def work(**kwargs):
        await chat(kit.bundle())
        billed.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(kit.inside_a_run(monkeypatch, work))
    await billed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kit.assert_exact()


async def test_q_r_at_once_on_one_bundle(kit, monkeypatch):
    async def work(**kwargs):
        bundle = kit.bundle()
        await asyncio.gather(*(chat(bundle, "Who is Fred? " * (at + 1)) for at in range(5)))

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))


async def test_s_two_runs_in_one_task(kit):
    open_ = {
        marker: kit.canvas(prompt=f"Who is Fred? MARK-{marker}", id_=f"c{marker}").run(query="q", user_id=f"u{marker}")
        for marker in (1, 2)
    }
    while open_:
        for marker, source in list(open_.items()):
            try:
                await anext(source)
            except StopAsyncIteration:
                del open_[marker]
            assert_clean()
    assert len(kit.runs) == 2
    for run in kit.runs:
        bills = kit.server.bills_for(f"MARK-{run.name[1:]}")
        assert bills
        assert run.usage.input_tokens == sum(bill.prompt_tokens for bill in bills)
        assert {call.labels["user"] for call in run.calls_list()} == {f"u{run.name[1:]}"}


async def test_a_run_that_waits_for_the_user(kit):
    fields = {"inputs": {"name": {"name": "name", "type": "line", "optional": False}}, "enable_tips": True, "tips": "?"}
    source = dsl(
        {
            "begin": node("Begin", {"mode": "conversational", "prologue": "Hi"}, [], ["LLM:0"]),
            "LLM:0": llm(ASK, ["begin"], ["UserFillUp:0"]),
            "UserFillUp:0": node("UserFillUp", fields, ["LLM:0"], []),
        }
    )
    events = await collect(kit.real.canvas.Canvas(source, "acme", canvas_id="c1"))
    assert events[-1]["event"] == "user_inputs"
    kit.assert_exact(events)


async def test_d21_a_session_that_is_not_handed_to_the_run(kit, monkeypatch):
    canvas, seen = kit.canvas(content="done", task_id="s7"), []

    async def work(**kwargs):
        seen.append(dict(kit.real.token_utils.langfuse_run_attrs.get()))
        await chat(kit.bundle())

    monkeypatch.setattr(canvas.components["LLM:0"]["obj"], "_invoke_async", work)
    kit.assert_exact(await collect(canvas, session_id=None))
    assert kit.runs[0].calls_list()[0].labels["session"] == "s7"
    assert seen[0]["session_id"] == "s7"
