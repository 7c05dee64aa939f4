"""RAGFlow's models whose providers have SDKs of their own: what is billed is recorded, whatever RAGFlow counts."""

import asyncio
import importlib
from typing import Any, NamedTuple

import pytest

import ragmeter
from ragmeter.testing import Fault

from .kit import history

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.parametrize("kit", ["Base"], indirect=True),
]

PAGES = {
    "chat": "chat_model",
    "embedding": "embedding_model",
    "rerank": "rerank_model",
    "vision": "cv_model",
    "asr": "sequence2txt_model",
}
OPERATIONS = {
    "chat": "chat",
    "embedding": "embeddings",
    "rerank": "rerank",
    "vision": "image2text",
    "asr": "speech2text",
}
TEXTS = ["Marley was dead.", "To begin with.", "There is no doubt.", "Old Marley.", "As dead as a door-nail."]
PICTURE = b"\xff\xd8\xff"


class Case(NamedTuple):
    """A model of RAGFlow's, and what is asked of it through its bundle."""

    kind: str
    cls: str
    model: str
    method: str
    arguments: tuple[Any, ...] = ()
    requests: int = 1
    """How many requests it takes."""


ASKED = ("Be brief.", history(), {"max_tokens": 100})
CASES = [
    Case("vision", "GeminiCV", "gemini-2.5-flash", "describe", (PICTURE,)),
    Case("vision", "GeminiCV", "gemini-2.5-flash", "describe_with_prompt", (PICTURE, "What is it?")),
    Case("vision", "GeminiCV", "gemini-2.5-flash", "async_chat", ASKED),
    Case("vision", "GeminiCV", "gemini-2.5-flash", "async_chat_streamly_delta", ASKED),
    Case("embedding", "GeminiEmbed", "gemini-embedding-001", "encode", (TEXTS,)),
    Case("embedding", "GeminiEmbed", "gemini-embedding-001", "encode_queries", (TEXTS[0],)),
    Case("embedding", "QWenEmbed", "text-embedding-v4", "encode", (TEXTS,), requests=2),
    Case("embedding", "QWenEmbed", "text-embedding-v4", "encode_queries", (TEXTS[0],)),
    Case("rerank", "QWenRerank", "gte-rerank-v2", "similarity", ("Who was dead?", TEXTS)),
    Case("asr", "QWenSeq2txt", "qwen-audio-asr", "transcription", ("http://127.0.0.1/marley.wav",)),
    Case("vision", "QWenCV", "qwen-vl-max", "describe_with_prompt", (PICTURE, "What is it?")),
    Case("vision", "QWenCV", "qwen-vl-max", "async_chat", ASKED),
    Case("embedding", "OllamaEmbed", "bge-m3", "encode", (TEXTS,)),
    Case("vision", "OllamaCV", "llava", "describe", ("aW1n",)),
    Case("vision", "OllamaCV", "llava", "async_chat", ASKED),
    Case("vision", "OllamaCV", "llava", "async_chat_streamly_delta", ASKED),
    Case("embedding", "ZhipuEmbed", "embedding-3", "encode", (TEXTS,)),
    Case("vision", "AnthropicCV", "claude-haiku-4-5", "async_chat", ASKED),
    Case("embedding", "VoyageEmbed", "voyage-3", "encode", (TEXTS,)),
    Case("rerank", "VoyageRerank", "rerank-2", "similarity", ("Who was dead?", TEXTS)),
]


@pytest.fixture
def sdks(stub, monkeypatch):
    """Every SDK asks the stub server."""
    import dashscope
    import voyageai

    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", stub.url)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stub.url)
    monkeypatch.setenv("ZAI_BASE_URL", f"{stub.url}/api/paas/v4")
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{stub.url}/api/v1")
    monkeypatch.setattr(voyageai, "api_base", f"{stub.url}/voyage/v1")


def bundle_of(kit, case):
    more = {"base_url": kit.server.base_url} if case.cls in {"QWenCV", "OllamaEmbed", "OllamaCV"} else {}
    if case.cls == "OllamaEmbed":
        more["base_url"] = kit.server.url
    model = getattr(importlib.import_module(f"rag.llm.{PAGES[case.kind]}"), case.cls)("any.key", case.model, **more)
    if case.cls == "OllamaCV":  # it asks /v1/api/chat, which no Ollama has
        model.client = importlib.import_module("ollama").Client(host=kit.server.url)
    return kit.bundle(model, llm_name=case.model, model_type=case.kind)


async def ask(bundle, case):
    method = getattr(bundle, case.method)
    if case.method == "async_chat":
        return await method(*case.arguments)
    if case.method.startswith("async_chat_streamly"):
        return [piece async for piece in method(*case.arguments)]
    return await asyncio.to_thread(method, *case.arguments)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.cls}-{case.method}" for case in CASES])
async def test_billed_is_recorded(kit, sdks, monkeypatch, case):
    async def work(**kwargs):
        answer = await ask(bundle_of(kit, case), case)
        assert "**ERROR**" not in str(answer), answer

    errors = ragmeter.health()["errors"]
    events = await kit.inside_a_run(monkeypatch, work)
    assert not [event["data"]["error"] for event in events if event["data"].get("error")]
    assert len(kit.server.bills) == case.requests
    kit.assert_exact(events)
    run = kit.runs[0]
    assert run.totals.reported_calls == run.calls
    assert set(run.by("operation", "model")) == {(OPERATIONS[case.kind], case.model)}
    assert ragmeter.health()["errors"] == errors


async def test_a_stream_that_is_left(kit, sdks, monkeypatch):
    case = Case("vision", "GeminiCV", "gemini-2.5-flash", "async_chat_streamly_delta", ASKED)
    kit.server.faults.add(Fault.SLOW, delay=0, pause=0.2)

    async def work(**kwargs):
        pieces = bundle_of(kit, case).async_chat_streamly_delta(*case.arguments)
        await anext(pieces)
        await pieces.aclose()

    await kit.inside_a_run(monkeypatch, work)
    run, (bill,) = kit.runs[0], kit.server.bills
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert run.usage.input_tokens == bill.prompt_tokens  # Gemini says it with every piece


async def test_zhipus_newer_sdk_streams_and_tries_again(kit, sdks):
    from zai import ZhipuAiClient

    kit.server.faults.script(Fault.SERVER_ERROR)
    async with ragmeter.run() as run:
        messages = [{"role": "user", "content": "Who is Fred?"}]
        chunks = ZhipuAiClient(api_key="any.key").chat.completions.create(model="glm-4", messages=messages, stream=True)
        assert list(chunks)
    (bill,) = kit.server.bills
    assert (run.calls, run.usage.input_tokens) == (1, bill.prompt_tokens)
    assert run.usage.output_tokens == bill.completion_tokens
    assert len(kit.server.refused) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["Tongyi-Qianwen", "Anthropic", "DeepSeek"])
async def test_chats_through_litellm(kit, monkeypatch, provider, stream):
    """LiteLLM asks these itself, without an SDK."""
    names = {"Tongyi-Qianwen": "qwen-plus", "Anthropic": "claude-haiku-4-5", "DeepSeek": "deepseek-chat"}
    url = kit.server.url if provider == "Anthropic" else kit.server.base_url
    model = kit.real.chat_model.LiteLLMBase("any", names[provider], url, provider=provider, retry_interval=0)
    bundle = kit.bundle(model, llm_name=names[provider], llm_factory=provider)

    async def work(**kwargs):
        method = "async_chat_streamly_delta" if stream else "async_chat"
        answer = await ask(bundle, Case("chat", "LiteLLMBase", names[provider], method, ("Be brief.", history())))
        assert "**ERROR**" not in str(answer), answer

    events = await kit.inside_a_run(monkeypatch, work)
    assert len(kit.server.bills) == 1
    kit.assert_exact(events)
    assert kit.runs[0].totals.reported_calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_d15_what_anthropic_has_cached_is_part_of_the_input(kit, monkeypatch, stream):
    model = kit.real.chat_model.LiteLLMBase("any", "claude-haiku-4-5", kit.server.url, provider="Anthropic")
    bundle = kit.bundle(model, llm_name="claude-haiku-4-5", llm_factory="Anthropic")
    method = "async_chat_streamly_delta" if stream else "async_chat"
    case = Case(
        "chat", "LiteLLMBase", "claude-haiku-4-5", method, ("Marley was dead, to begin with. " * 300, history())
    )

    async def work(**kwargs):
        await ask(bundle, case)
        await ask(bundle, case)

    kit.assert_exact(await kit.inside_a_run(monkeypatch, work))
    cached = sum(bill.cached_tokens for bill in kit.server.bills)
    assert kit.runs[0].usage.cache_read_tokens == cached > 1000
