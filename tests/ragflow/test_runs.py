"""Runs of agents: nothing that a run starts escapes it, and its counts are the server's own bills.

The letters are those of the list of escapes that were measured in RAGFlow; see docs/ragflow.md.
"""

import asyncio
import contextlib
import gc
import json
import threading
import time

import pytest

import ragmeter
from ragmeter import ragflow
from ragmeter.testing import Fault

from .conftest import import_host

ASK = "What did Marley leave to Scrooge?"


def history(text=ASK):
    return [{"role": "user", "content": text}]


class Kit:
    """A host, metered, and what tests need to build agents of it."""

    def __init__(self, host, server, runs):
        self.host, self.server, self.runs, self.errors = host, server, runs, 0

    def model(self, kind="Base", name="gpt-4o-mini"):
        return getattr(self.host.models, kind)("any", name, self.server.base_url)

    def bundle(self, mdl=None, name="gpt-4o-mini", **more):
        return self.host.llm_service.LLMBundle(
            "acme", {"llm_name": name, "llm_factory": "OpenAI"}, mdl or self.model(), **more
        )

    def canvas(self, *works, id_="canvas-1"):
        canvas = self.host.canvas.Canvas(id_, "acme", {})
        for at, work in enumerate(works):
            canvas.components[f"c{at}"] = {"obj": self.host.base.ComponentBase(canvas, f"c{at}", work)}
        return canvas

    async def run(self, *works, **kwargs):
        """Run an agent to its end; its events."""
        kwargs = {"user_id": "ann", "session_id": "s1", **kwargs}
        return [event async for event in self.canvas(*works).run(**kwargs)]

    def billed(self, marker=None):
        bills = self.server.bills_for(marker) if marker else self.server.bills
        return sum(b.prompt_tokens for b in bills), sum(b.completion_tokens for b in bills), len(bills)

    def counted(self, run=None):
        run = run or self.runs[-1]
        return run.usage.input_tokens or 0, run.usage.output_tokens or 0, run.calls

    def assert_exact(self, events=None, run=None):
        assert self.server.bills, "nothing was billed, the test tests nothing"
        assert self.counted(run) == self.billed()
        if events is not None:
            prompt, completion, calls = self.billed()
            assert usages(events)[-1] == {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "calls": calls,
            }
        self.assert_clean()

    def assert_clean(self):
        assert ragflow.token_usage_sink.get() is None
        assert ragflow.langfuse_run_attrs.get() is None
        assert ragmeter.current_run() is None


def usages(events):
    return [event["data"]["usage"] for event in events if "usage" in event["data"]]


@pytest.fixture(params=["installed first", "imported first"])
def kit(request, host_path, server):
    runs = []
    if request.param == "imported first":
        host = import_host()
        ragflow.install(runs=True, on_run=runs.append, keep_calls=50)
    else:
        ragflow.install(runs=True, on_run=runs.append, keep_calls=50)
        host = import_host()
    before = ragmeter.health()["errors"]
    kit = Kit(host, server, runs)
    yield kit
    assert ragmeter.health()["errors"] - before == kit.errors


async def until(condition):
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def chat(bundle, text=ASK):
    return await bundle.async_chat("Be brief.", history(text))


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


async def test_a_run_that_waits_for_the_user(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return "ask the user"

    events = await kit.run(work)
    assert events[-1]["event"] == "user_inputs"
    kit.assert_exact(events)


async def test_agents_as_tools_at_once_on_one_model_object(kit):
    """D7: the rounds of the outer agent and of the inner ones, all on one model object."""
    bundle = kit.bundle()
    inner = kit.bundle(bundle.mdl)
    sub = kit.host.base.ComponentBase(None, "sub-agent", lambda component: chat(inner, "Be an agent."))

    async def ask_sub_agent(**arguments):
        return await sub.invoke_async()

    bundle.bind_tools(kit.host.tools.LLMToolPluginCallSession({"sub_agent": ask_sub_agent}), ["sub_agent", "sub_agent"])

    async def work(component):
        await chat(bundle)

    events = await kit.run(work)
    assert len(kit.server.bills) == 3 + 4
    kit.assert_exact(events)
    by = kit.runs[0].by("component", "tool")
    assert {key: totals.calls for key, totals in by.items()} == {("c0", None): 3, ("sub-agent", "sub_agent"): 4}


async def test_d9_retries_count_every_attempt_that_was_billed(kit):
    bundle = kit.bundle(kit.model("Base"))
    kit.server.faults.script(Fault.EMPTY, None)
    bundle.mdl._async_chat = retried_when_empty(bundle.mdl._async_chat)

    async def work(component):
        await chat(bundle)

    events = await kit.run(work)
    assert len(kit.server.bills) == 2
    kit.assert_exact(events)


def retried_when_empty(original):
    async def ask(messages):
        text, tokens = await original(messages)
        if not text:
            raise RuntimeError("nothing came")
        return text, tokens

    return ask


async def test_d12_a_second_attempt_after_a_timeout(kit):
    bundle, attempts = kit.bundle(), []

    async def slow_once():
        attempts.append(time.time())
        if len(attempts) == 1:
            await asyncio.sleep(60)

    bundle.mdl.pause = slow_once

    @kit.host.timeouts.timeout(1, attempts=2)
    async def work(component):
        await chat(bundle)

    events = await kit.run(work)
    assert len(kit.server.bills) == 2
    kit.assert_exact(events)


@pytest.mark.parametrize("fault", [None, Fault.USAGE_EVERY_CHUNK, Fault.USAGE_ON_FINISH], ids=str)
async def test_d1_d2_d3_streams_of_a_model_that_asks_for_no_usage_and_adds_up_chunks(kit, fault):
    bundle = kit.bundle()
    if fault is not None:
        kit.server.faults.add(fault, times=None)

    async def work(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    kit.assert_exact(await kit.run(work))
    assert kit.runs[0].totals.reported_calls == 1


@pytest.mark.parametrize("fault", [None, Fault.USAGE_EVERY_CHUNK, Fault.USAGE_ON_FINISH], ids=str)
async def test_d2_d3_streams_that_nobody_observes(kit, fault):
    bundle = kit.bundle(kit.model("Plain"))
    if fault is not None:
        kit.server.faults.add(fault, times=None)

    async def work(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    kit.assert_exact(await kit.run(work))


async def test_d4_a_stream_without_usage_is_estimated_with_its_prompt_and_flagged(kit):
    bundle = kit.bundle(kit.model("Plain"))
    bundle.mdl.asks = False

    async def work(component):
        return bundle.async_chat_streamly("Be brief.", history())

    await kit.run(work)
    (call,) = kit.runs[0].calls_list()
    (bill,) = kit.server.bills
    assert call.usage.origin == "estimated"
    assert call.usage.output_tokens == ragmeter.count_tokens(bill.text, "gpt-4o-mini")
    assert abs(call.usage.input_tokens - bill.prompt_tokens) <= 8


async def test_d5_d6_reasoning_models_that_are_asked_as_streams_and_many_rounds(kit):
    bundle = kit.bundle(kit.model(name="qwq-32b"), "qwq-32b")

    async def tool(**arguments):
        return "nothing"

    bundle.bind_tools(kit.host.tools.LLMToolPluginCallSession({"look": tool}), ["look"])

    async def work(component):
        await chat(bundle)

    events = await kit.run(work)
    assert len(kit.server.bills) == 3
    kit.assert_exact(events)


async def test_d8_a_split_that_does_not_add_up_is_kept(kit):
    model = kit.model("Plain")
    model._request = lambda path, **body: {
        "id": "a",
        "choices": [{"message": {"content": "42"}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 150},
    }
    bundle = kit.bundle(model, "gemini-3-pro")

    async def work(component):
        await chat(bundle)

    await kit.run(work)
    usage = kit.runs[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 50, 150)


async def test_d11_a_request_that_failed_is_no_call(kit):
    bundle = kit.bundle(kit.model("Plain"))
    bundle.mdl.async_chat = refuse

    async def work(component):
        assert (await chat(bundle)).startswith("**ERROR**")

    events = await kit.run(work)
    assert kit.runs[0].calls == 0
    assert usages(events)[-1]["calls"] == 0


async def refuse(system, history, conf):
    return "**ERROR**: AUTH_ERROR - 401", 0


async def test_d14_d15_answers_that_only_ragmeter_can_read(kit):
    model = kit.model("Plain")
    answers = {
        "gemini": {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}},
        "claude": {"usage": {"input_tokens": 15, "output_tokens": 100, "cache_creation_input_tokens": 1000}},
    }
    utils = kit.host.token_utils
    model.describe = lambda image: ("a door", utils.total_token_count_from_response(answers[image]))
    bundle = kit.bundle(model, "vision")

    def work(component):
        bundle.describe("gemini")
        bundle.describe("claude")

    await kit.run(work)
    assert kit.counted() == (10 + 1015, 4 + 100, 2)


async def test_d16_an_answer_with_null_usage_is_an_answer(kit):
    kit.server.faults.add(Fault.NULL_USAGE, times=None)
    bundle = kit.bundle(kit.model("Plain"))

    async def work(component):
        assert await chat(bundle)

    await kit.run(work)
    (call,) = kit.runs[0].calls_list()
    assert call.usage.origin == "estimated"
    assert call.usage.output_tokens == ragmeter.count_tokens(kit.server.bills[0].text, "gpt-4o-mini")


async def test_calls_outside_any_agent_know_their_tenant(kit):
    heard = []
    with ragmeter.run(listeners=[heard.append]):
        await chat(kit.bundle())
    assert [call.labels["tenant"] for call in heard] == ["acme"]
    assert kit.runs == []


async def test_a_component_that_streams_later_is_known_by_its_bundle(kit):
    bundle = kit.bundle()

    async def first(component):
        return "done"

    async def second(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    canvas = kit.canvas(first, second)
    canvas.components["c0"]["obj"].chat_mdl = bundle
    async for _ in canvas.run():
        pass
    assert set(kit.runs[0].by("component")) == {"c0"}


async def test_sinks_of_the_user_hear_what_he_records_himself(kit):
    def work(component):
        kit.host.token_utils.record_run_token_usage(1, 2, 3)

    events = await kit.run(work)
    assert usages(events)[-1] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "calls": 1}


async def test_an_error_of_ragmeter_is_none_of_the_host(kit, monkeypatch):
    bundle = kit.bundle()
    monkeypatch.setattr("ragmeter.ragflow.bundle.BundleCall", broken)
    monkeypatch.setattr("ragmeter.ragflow.canvas.Run", broken)
    before = ragmeter.health()["errors"]

    async def work(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    events = await kit.run(work)
    assert events[-1]["event"] == "workflow_finished"
    kit.errors = ragmeter.health()["errors"] - before
    assert kit.errors == 2


def broken(*args, **kwargs):
    raise RuntimeError("broken")


async def test_exceptions_of_the_caller_end_the_run(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)

    source = kit.canvas(work).run()
    with contextlib.suppress(RuntimeError):
        async with contextlib.aclosing(source):
            async for event in source:
                if event["event"] == "node_finished":
                    raise RuntimeError("the caller's own")
    kit.assert_exact()
    assert len(kit.runs) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_the_endpoint_in_openais_shape_tells_the_bill(kit, stream):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return bundle.async_chat_streamly_delta("Be brief.", history())

    canvas = kit.canvas(work)
    answers = [answer async for answer in kit.host.canvas_service.completion_openai(canvas, ASK, stream)]
    if stream:
        assert answers[-1] == "data: [DONE]\n\n"
        answer = json.loads(answers[-2].removeprefix("data: "))
    else:
        (answer,) = answers
    prompt, completion, _ = kit.billed()
    usage = answer["usage"]
    counts = [usage[f"{name}_tokens"] for name in ("prompt", "completion", "total")]
    assert counts == [prompt, completion, prompt + completion]
    assert answer["choices"]
    kit.assert_exact()


async def test_a_run_is_forgotten_when_nobody_holds_it(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return bundle.async_chat_streamly_delta("Be brief.", history())

    for _ in range(3):
        await kit.run(work)
    kit.runs.clear()
    await asyncio.sleep(0.05)  # until the event loop has let go of closed connections and of their contexts
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing).__name__ == "_Turn"]


async def gather_text(stream):
    return [piece async for piece in stream]


async def test_a_quota_stops_every_kind_of_call_in_ragflows_own_words(kit, tmp_path):
    quota = ragmeter.Quota.open(f"sqlite:{tmp_path}/ledger.db", output_tokens=100)
    quota.limit("acme", tokens=100_000, tenant="acme")
    plain, observed = kit.bundle(kit.model("Plain")), kit.bundle()
    with ragmeter.run(quota=quota) as run:
        for bundle in (plain, observed):
            await chat(bundle)
            await gather_text(bundle.async_chat_streamly("Be brief.", history()))
        plain.encode(["Marley was dead."])
    prompt, completion, calls = kit.billed()
    assert (run.calls, run.usage.total_tokens) == (calls, prompt + completion)
    (standing,) = quota.usage(tenant="acme")
    assert (standing["used"], standing["reserved"]) == (prompt + completion, 0)

    quota.limit("acme", tokens=prompt + completion, tenant="acme")
    with ragmeter.run(quota=quota):
        for bundle in (plain, observed):
            answers = [await chat(bundle), *await gather_text(bundle.async_chat_streamly("Be brief.", history()))]
            for answer in answers:
                assert answer.startswith("**ERROR**: QUOTA_EXCEEDED - quota 'acme' is used up")
        with pytest.raises(ragmeter.QuotaExceeded):
            plain.encode(["Marley was dead."])
        with pytest.raises(ragmeter.QuotaExceeded):
            list(plain.tts("Marley was dead."))
    assert kit.billed()[2] == calls
    assert quota.usage(tenant="acme")[0]["reserved"] == 0
    kit.assert_clean()
