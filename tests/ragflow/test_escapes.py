"""Nothing that a run starts escapes it, and its counts are the bills of the server.

The letters are those of the escapes that were measured in RAGFlow; see docs/ragflow.md.
"""

import asyncio
import threading

import pytest

import ragmeter
from ragmeter import ragflow

from .kit import ASK, chat, collect, history, until, usages


async def test_a_an_answer_that_is_streamed(kit):
    bundle = kit.bundle()

    async def work(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    events = await kit.run(work)
    kit.assert_exact(events)
    assert [event["event"] for event in events if "usage" in event["data"]] == ["message_end", "workflow_finished"]
    run = kit.runs[0]
    (call,) = run.calls_list()
    assert run.name == "canvas-1"
    labels = call.labels
    assert (labels["tenant"], labels["user"], labels["session"]) == ("acme", "ann", "s1")
    assert (labels["operation"], labels["model"]) == ("chat", "gpt-4o-mini")


async def test_b_c_an_answer_that_is_collected_in_the_thread_of_a_timeout(kit):
    bundle = kit.bundle()

    async def collect():
        return [piece async for piece in bundle.async_chat_streamly_delta("Be brief.", history())]

    @kit.host.timeouts.timeout(600)
    def work(component):
        return asyncio.run(collect())

    kit.assert_exact(await kit.run(work))


async def test_d_a_client_that_leaves_in_the_middle(kit):
    bundle = kit.bundle()

    async def first(component):
        return await chat(bundle)

    async def second(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    events = kit.canvas(first, second).run(user_id="ann", session_id="s1")
    async for event in events:
        if event["event"] == "message":
            break
    await events.aclose()
    run = kit.runs[0]
    await until(lambda: run.calls == 2)  # the event loop closes the generators inside, one after the other
    assert kit.billed()[2] == 2
    assert run.totals.reported_calls == run.totals.estimated_calls == 1
    reported = next(call for call in run.calls_list() if call.usage.origin == "reported")
    assert reported.usage.total_tokens == kit.server.bills[0].total_tokens
    kit.assert_clean()


async def test_e_a_run_that_is_driven_by_one_task_for_each_event(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return bundle.async_chat_streamly_delta("Be brief.", history())

    source, events = kit.canvas(work).run(user_id="ann"), []
    while True:
        try:
            events.append(await asyncio.wait_for(asyncio.create_task(anext(source)), 30))
        except StopAsyncIteration:
            break
    kit.assert_exact(events)


async def test_f_every_kind_of_model(kit):
    bundle = kit.bundle(kit.model("Plain"), "any-model")

    def work(component):
        bundle.encode(["Marley was dead.", "To begin with."])
        bundle.encode_queries("Who was dead?")
        bundle.similarity("Who was dead?", ["Marley was.", "Scrooge was not."])
        bundle.describe("a door-knocker")
        bundle.transcription("a chain")

    await kit.run(work)
    kit.assert_exact()
    operations = kit.runs[0].by("operation")
    assert {name: totals.calls for name, totals in operations.items()} == {
        "embeddings": 2,
        "rerank": 1,
        "image2text": 1,
        "speech2text": 1,
    }
    assert kit.runs[0].totals.reported_calls == 5


async def test_f_speech_is_estimated_by_its_text(kit):
    bundle = kit.bundle(kit.model("Plain"), "tts-1")

    def work(component):
        assert b"".join(bundle.tts("Humbug!")) == b"sound of Humbug!"

    await kit.run(work)
    (call,) = kit.runs[0].calls_list()
    assert call.labels["operation"] == "tts"
    assert (call.usage.origin, call.usage.input_tokens) == ("estimated", ragflow.num_tokens_from_string("Humbug!"))


async def test_g_a_coroutine_in_a_thread_with_a_loop_of_its_own(kit):
    bundle = kit.bundle()

    async def work(component):
        bundle._run_coroutine_sync(chat(bundle))

    kit.assert_exact(await kit.run(work))


async def test_h_a_stream_that_a_thread_reads(kit):
    bundle = kit.bundle()

    def work(component):
        list(bundle._sync_from_async_stream(bundle.async_chat_streamly, "Be brief.", history()))

    kit.assert_exact(await kit.run(work))


async def test_i_an_executor_that_knows_no_context(kit):
    bundle = kit.bundle(kit.model("Plain"))

    async def work(component):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(component._canvas.pool, bundle.encode, ["Marley"])
        await loop.run_in_executor(None, bundle.encode, ["Scrooge"])

    kit.assert_exact(await kit.run(work))


async def test_i_worker_threads_belong_to_no_run(kit):
    bundle, seen = kit.bundle(kit.model("Plain")), []

    async def work(component):
        await asyncio.get_running_loop().run_in_executor(component._canvas.pool, bundle.encode, ["Marley"])

    canvas = kit.canvas(work)
    async for _ in canvas.run():
        pass
    canvas.pool.submit(lambda: seen.append(ragmeter.current_run())).result()
    assert seen == [None]


async def test_j_k_m_n_what_worked_before_still_works(kit):
    bundle, plain = kit.bundle(), kit.bundle(kit.model("Plain"))

    @kit.host.timeouts.timeout(600)
    async def in_time():
        await chat(bundle)

    async def work(component):
        await kit.host.pools.thread_pool_exec(plain.encode, ["Marley"])
        await asyncio.to_thread(plain.encode, ["Scrooge"])
        await in_time()
        await asyncio.gather(chat(bundle), chat(bundle))

    kit.assert_exact(await kit.run(work))


async def test_l_a_plain_function_under_a_timeout(kit):
    bundle = kit.bundle(kit.model("Plain"))

    @kit.host.timeouts.timeout(600)
    def work(component):
        bundle.encode(["Marley"])

    kit.assert_exact(await kit.run(work))


async def test_bare_threads(kit):
    bundle = kit.bundle(kit.model("Plain"))

    def work(component):
        threads = [threading.Thread(target=bundle.encode, args=(["Marley"],)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    kit.assert_exact(await kit.run(work))


async def test_o_a_model_that_raises_after_a_round_was_billed(kit):
    bundle = kit.bundle()

    async def broken():
        raise RuntimeError("out of tools")

    bundle.mdl.pause = broken
    bundle.mdl.max_retries = -1
    bundle.mdl.async_chat = lambda system, history, conf: bundle.mdl._async_chat(history)

    async def work(component):
        await chat(bundle)

    events = await kit.run(work)
    assert events[-1]["data"]["error"] == "out of tools"
    kit.assert_exact(events)


async def test_o_the_last_event_of_a_failed_run_tells_the_usage(kit):
    bundle = kit.bundle()

    async def fail(component):
        await chat(bundle)
        raise RuntimeError("out of tools")

    async def work(component):
        await chat(bundle)

    events = await kit.run(work, fail, work)
    assert [event["data"].get("error") for event in events if "usage" in event["data"]] == ["out of tools", None]
    kit.assert_exact(events)


async def test_o_a_run_that_raises_tells_the_usage_in_an_event_more(kit):
    bundle, events = kit.bundle(), []

    async def work(component):
        await chat(bundle)
        return "cancel"

    with pytest.raises(RuntimeError, match="canceled"):
        await collect(kit.canvas(work).run(user_id="ann"), events)
    kit.assert_exact(events)
    last = events[-1]
    assert (last["event"], last["message_id"], last["task_id"]) == ("workflow_finished", "m", "t")


async def test_o_a_run_that_raises_and_has_cost_nothing_sends_no_event_more(kit):
    async def work(component):
        return "cancel"

    events = []
    with pytest.raises(RuntimeError, match="canceled"):
        await collect(kit.canvas(work).run(), events)
    assert [event["event"] for event in events] == ["workflow_started", "node_started"]


async def test_p_a_call_that_is_cancelled_after_a_round_was_billed(kit):
    bundle, billed = kit.bundle(), asyncio.Event()

    async def hang():
        billed.set()
        await asyncio.sleep(60)

    bundle.mdl.pause = hang

    async def work(component):
        await chat(bundle)

    task = asyncio.create_task(kit.run(work))
    await billed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kit.assert_exact()


async def test_q_r_calls_at_once_on_one_model_object(kit):
    bundle = kit.bundle()

    async def work(component):
        await asyncio.gather(*(chat(bundle, f"{ASK} {'Tell me more. ' * at}") for at in range(6)))

    kit.assert_exact(await kit.run(work))


async def test_q_r_without_an_observer_each_call_keeps_its_own_last_usage(kit):
    bundle = kit.bundle(kit.model("Plain"))

    async def work(component):
        await asyncio.gather(*(chat(bundle, f"{ASK} {'Tell me more. ' * at}") for at in range(6)))

    kit.assert_exact(await kit.run(work))
    assert sorted(call.usage.input_tokens for call in kit.runs[0].calls_list()) == sorted(
        bill.prompt_tokens for bill in kit.server.bills
    )


async def test_s_two_runs_that_take_turns_in_one_task(kit):
    bundle = kit.bundle()

    def agent(marker):
        async def work(component):
            await chat(bundle, f"{ASK} MARK-{marker}")
            return bundle.async_chat_streamly_delta("Be brief.", history(f"{ASK} MARK-{marker}"))

        return kit.canvas(work, id_=f"canvas-{marker}").run(user_id=f"user-{marker}", session_id=f"s-{marker}")

    open_, events = {1: agent(1), 2: agent(2)}, {1: [], 2: []}
    while open_:
        for marker, source in list(open_.items()):
            try:
                events[marker].append(await anext(source))
            except StopAsyncIteration:
                del open_[marker]
            kit.assert_clean()
    for run in kit.runs:
        marker = run.name.removeprefix("canvas-")
        prompt, completion, calls = kit.billed(f"MARK-{marker}")
        assert kit.counted(run) == (prompt, completion, calls)
        assert usages(events[int(marker)])[-1]["prompt_tokens"] == prompt
        assert {call.labels["user"] for call in run.calls_list()} == {f"user-{marker}"}
    assert len(kit.runs) == 2


async def test_generators_of_the_bundle_leave_nothing_set_between_their_steps(kit):
    bundle = kit.bundle()
    pieces = bundle.async_chat_streamly_delta("Be brief.", history())
    async for _ in pieces:
        kit.assert_clean()
        assert ragmeter.witness.open_call() is None
