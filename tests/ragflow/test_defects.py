"""What RAGFlow counts wrong, by the numbers that its defects have in docs/ragflow.md."""

import asyncio
import json
import time

import pytest

import ragmeter
from ragmeter import ragflow
from ragmeter.testing import Fault

from .kit import ASK, chat, history, usages


async def test_d21_the_session_of_a_canvas_that_is_not_handed_to_its_run(kit):
    bundle, seen = kit.bundle(), []

    async def work(component):
        await chat(bundle)
        seen.append(dict(ragflow.langfuse_run_attrs.get()))

    async for _ in kit.canvas(work, task_id="s7").run(user_id="ann"):
        pass
    async for _ in kit.canvas(work, task_id="canvas-1").run(user_id="ann"):
        pass
    assert [run.calls_list()[0].labels["session"] for run in kit.runs] == ["s7", "canvas-1"]
    assert [attrs["session_id"] for attrs in seen] == ["s7", "canvas-1"]


async def test_d7_agents_as_tools_at_once_on_one_model_object(kit):
    """The rounds of the outer agent and of the inner ones, all on one model object."""
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


@pytest.mark.parametrize("stream", [True, False])
async def test_d18_the_endpoint_in_openais_shape_tells_the_bill(kit, stream):
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


async def test_an_answer_with_parts_that_raise_is_read_as_far_as_it_goes(kit):
    class Answer:
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}  # noqa: RUF012

        @property
        def choices(self):
            raise KeyError("choices")

    model = kit.model("Plain")
    model.describe = lambda image: ("a door", kit.host.token_utils.total_token_count_from_response(Answer()))
    bundle = kit.bundle(model, "vision")
    await kit.run(lambda component: bundle.describe("image"))
    assert kit.counted() == (1, 2, 1)


async def test_bundles_of_older_releases_know_their_model_otherwise(kit):
    bundle = kit.bundle(kit.model("Plain"))
    del bundle.model_config
    bundle.llm_name, bundle.llm_type = "gpt-4o-mini@OpenAI", "chat"
    heard = []
    with ragmeter.run(listeners=[heard.append]):
        await chat(bundle)
    assert [(call.labels["model"], call.labels["provider"]) for call in heard] == [("gpt-4o-mini", "openai")]
