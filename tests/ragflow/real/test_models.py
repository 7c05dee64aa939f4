"""RAGFlow's own model classes: rounds of tools, attempts, streams that say little, and what is no chat."""

import asyncio
import importlib

import pytest

from ragmeter import ragflow
from ragmeter.testing import Fault

from .kit import CONFIG, chat, collect, history
from .provider import HEARD, Bill, Provider

pytestmark = pytest.mark.filterwarnings("ignore")

LOOK = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}


class Session:
    async def tool_call_async(self, name, arguments):
        return "nothing found"


@pytest.fixture
def tooled(kit):
    """The kit before a provider whose models ask for tools."""
    with Provider() as provider:
        kit.server = provider
        yield kit


def with_tools(kit, session=None, name=CONFIG["llm_name"], **more):
    bundle = kit.bundle(kit.model({"llm_name": name}, **more), llm_name=name)
    bundle.is_tools = True
    bundle.bind_tools(session or Session(), [LOOK])
    return bundle


async def stream(bundle, text="Who is Fred?"):
    return [piece async for piece in bundle.async_chat_streamly_delta("Be brief.", history(text))]


@pytest.mark.parametrize("ask", [chat, stream])
async def test_rounds_of_tools_add_up(tooled, monkeypatch, ask):
    async def work(**kwargs):
        await ask(with_tools(tooled))

    events = await tooled.inside_a_run(monkeypatch, work)
    assert len(tooled.server.bills) == 3
    tooled.assert_exact(events)


@pytest.mark.parametrize("ask", [chat, stream])
@pytest.mark.parametrize("name", ["gpt-4o-mini", "qwq-32b"])
async def test_d5_d6_more_rounds_than_allowed(tooled, monkeypatch, name, ask):
    tooled.server.rounds = 99

    async def work(**kwargs):
        await ask(with_tools(tooled, name=name, max_rounds=1))

    events = await tooled.inside_a_run(monkeypatch, work)
    assert len(tooled.server.bills) == 3
    tooled.assert_exact(events)


async def test_d7_agents_as_tools_at_once_on_one_model_object(tooled, monkeypatch):
    class Agents:
        """Each asks the model object that is waiting for it, as an agent does that has the model of its parent."""

        async def tool_call_async(self, name, arguments):
            return await chat(self.inner, "Be an agent.")

    async def work(**kwargs):
        agents = Agents()
        bundle = with_tools(tooled, agents)
        agents.inner = tooled.bundle(bundle.mdl)
        await chat(bundle)

    events = await tooled.inside_a_run(monkeypatch, work)
    assert len(tooled.server.bills) == 3 + 4
    tooled.assert_exact(events)


@pytest.mark.parametrize("fault", [None, Fault.USAGE_EVERY_CHUNK, Fault.USAGE_ON_FINISH], ids=str)
async def test_d1_d2_d3_streams(kit, fault):
    if fault is not None:
        kit.server.faults.add(fault, times=None)
    kit.assert_exact(await collect(kit.canvas()))
    assert kit.runs[0].totals.reported_calls == 1


async def test_d4_a_stream_that_says_nothing_is_estimated_with_its_prompt(kit):
    kit.server.faults.add(Fault.NO_USAGE, times=None)
    await collect(kit.canvas())
    (call,), (bill,) = kit.runs[0].calls_list(), kit.server.bills
    assert call.usage.origin == "estimated"
    assert abs(call.usage.input_tokens - bill.prompt_tokens) <= 8
    assert abs(call.usage.output_tokens - (bill.completion_tokens - bill.reasoning_tokens)) <= 8


@pytest.mark.parametrize("ask", [chat, stream])
async def test_d4_rounds_of_tools_that_say_nothing_are_estimated(tooled, monkeypatch, ask):
    tooled.server.silent = True

    async def work(**kwargs):
        await ask(with_tools(tooled))

    await tooled.inside_a_run(monkeypatch, work)
    calls, bills = tooled.runs[0].calls_list(), tooled.server.bills
    assert [call.usage.origin for call in calls] == ["estimated"] * len(bills) == ["estimated"] * 3
    for call, bill in zip(calls, bills, strict=True):
        assert bill.prompt_tokens / 3 < call.usage.input_tokens < bill.prompt_tokens * 3
    wishes = [call.usage.output_tokens for call in calls[:2]]
    assert min(wishes) > 0, "what a tool is asked is written by the model"


@pytest.mark.parametrize("ask", [chat, stream])
async def test_d8_a_total_that_is_more_than_its_parts(tooled, monkeypatch, ask):
    tooled.server.thoughts = 50

    async def work(**kwargs):
        await ask(with_tools(tooled))

    tooled.assert_exact(await tooled.inside_a_run(monkeypatch, work))


@pytest.mark.parametrize("ask", [chat, stream])
async def test_d16_an_answer_with_null_usage_is_an_answer(kit, monkeypatch, ask):
    kit.server.faults.add(Fault.NULL_USAGE, times=None)

    async def work(**kwargs):
        assert "**ERROR**" not in "".join(await ask(kit.bundle()))

    await kit.inside_a_run(monkeypatch, work)
    (call,), (bill,) = kit.runs[0].calls_list(), kit.server.bills
    assert call.usage.origin == "estimated"
    assert abs(call.usage.input_tokens - bill.prompt_tokens) <= 8


def test_d17_special_tokens_are_text_in_every_module(kit):
    """RAGFlow's modules hold the functions under their own names."""
    text = "<|endoftext|> Marley was dead. <|fim_prefix|>"
    for module in (kit.real.chat_model, importlib.import_module("rag.llm.embedding_model")):
        assert module.num_tokens_from_string(text) > 5
    assert importlib.import_module("rag.llm.embedding_model").truncate(text, 3) in text


async def test_d9_a_stream_that_is_cut_and_asked_for_again(kit, monkeypatch):
    """RAGFlow tries again only what it takes for a rate limit or for a fault of the server (D20)."""
    kit.server.faults.script(Fault.CUT)
    monkeypatch.setattr(getattr(kit.real.chat_model, kit.kind), "_should_retry", lambda self, code: True)

    async def work(**kwargs):
        await stream(kit.bundle())

    await kit.inside_a_run(monkeypatch, work)
    run, bills = kit.runs[0], kit.server.bills
    cut, *whole = run.calls_list()
    assert cut.usage.origin == "estimated"
    assert cut.usage.input_tokens > 0
    # LiteLLM takes the cut for the end of the stream.
    assert (run.calls, len(bills)) == ((2, 2) if kit.kind == "Base" else (1, 1))
    assert [call.usage.total_tokens for call in whole] == [
        bill.prompt_tokens + bill.completion_tokens for bill in bills[1:]
    ]


async def test_d9_refused_attempts_cost_nothing(kit, monkeypatch):
    kit.server.faults.script(Fault.SERVER_ERROR)

    async def work(**kwargs):
        await chat(kit.bundle())

    events = await kit.inside_a_run(monkeypatch, work)
    assert len(kit.server.refused) == 1
    kit.assert_exact(events)


async def test_d12_a_second_attempt_after_a_timeout(kit, monkeypatch):
    monkeypatch.setenv("ENABLE_TIMEOUT_ASSERTION", "1")
    attempts = []

    @kit.real.connection_utils.timeout(2, attempts=2)
    async def slow_once():
        attempts.append(await chat(kit.bundle()))
        if len(attempts) == 1:
            await asyncio.sleep(60)

    async def work(**kwargs):
        await slow_once()

    events = await kit.inside_a_run(monkeypatch, work)
    assert len(kit.server.bills) == 2
    kit.assert_exact(events)


async def test_d11_a_request_that_is_refused_is_no_call(kit, monkeypatch):
    kit.server.faults.add(Fault.SERVER_ERROR, times=None)

    async def work(**kwargs):
        assert (await chat(kit.bundle(kit.model(max_retries=0)))).startswith("**ERROR**")

    await kit.inside_a_run(monkeypatch, work)
    assert kit.server.bills == []
    assert kit.runs[0].calls == 0


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "marley.wav"
    path.write_bytes(b"RIFF")
    return str(path)


@pytest.mark.parametrize("kit", ["Base"], indirect=True)
async def test_f_every_kind_of_model(kit, recording, monkeypatch):
    url = kit.server.base_url
    with Provider() as provider:
        made = {
            "embed": ("embedding_model", "OpenAIEmbed", "text-embedding-3-small", {"base_url": url}),
            "rerank": (
                "rerank_model",
                "JinaRerank",
                "jina-reranker-v2-base-multilingual",
                {"base_url": f"{url}/rerank"},
            ),
            "see": ("cv_model", "GptV4", "gpt-4o-mini", {"base_url": url}),
            "hear": ("sequence2txt_model", "GPTSeq2txt", "gpt-4o-transcribe", {"base_url": provider.base_url}),
            "speak": ("tts_model", "OpenAITTS", "tts-1", {"base_url": provider.base_url}),
        }
        models = {
            name: getattr(importlib.import_module(f"rag.llm.{page}"), kind)("any", model, **more)
            for name, (page, kind, model, more) in made.items()
        }

        async def work(**kwargs):
            can = {name: kit.bundle(model, llm_name=model.model_name) for name, model in models.items()}

            def all_of_them():
                can["embed"].encode(["Marley was dead.", "To begin with."])
                can["embed"].encode_queries("Who was dead?")
                can["rerank"].similarity("Who was dead?", ["Marley was.", "Scrooge was not."])
                can["see"].describe_with_prompt(b"\xff\xd8\xff", "What is it?")
                assert can["hear"].transcription(recording) == HEARD
                assert b"".join(can["speak"].tts("Humbug!")) == b"sound"

            await asyncio.to_thread(all_of_them)

        await kit.inside_a_run(monkeypatch, work)
        assert provider.bills == [Bill(14, 6)]
    run, bills = kit.runs[0], kit.server.bills
    assert (run.totals.reported_calls, run.totals.estimated_calls) == (5, 1)
    counted = {
        model: (totals.usage.input_tokens, totals.usage.output_tokens or 0) for model, totals in run.by("model").items()
    }
    assert counted.pop("tts-1") == (ragflow.num_tokens_from_string("Humbug!"), 0)
    assert counted.pop("gpt-4o-transcribe") == (14, 6)
    assert counted == {
        model: (
            sum(bill.prompt_tokens for bill in bills if bill.model == model),
            sum(bill.completion_tokens for bill in bills if bill.model == model),
        )
        for model in ("text-embedding-3-small", "jina-reranker-v2-base-multilingual", "gpt-4o-mini")
    }
