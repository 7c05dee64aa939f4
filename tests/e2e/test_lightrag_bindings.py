"""LightRAG's own bindings, each in a real LightRAG with its real SDK over HTTP, against the stub server's bills."""

import functools
import sys
import types
from collections import Counter

import pytest
from lightrag import LightRAG, QueryParam
from lightrag.utils import EmbeddingFunc, Tokenizer
from lightrag.utils import TokenTracker as LightRagTracker

import ragmeter
from ragmeter.lightrag import TokenTracker, TokenTrackingLightRAG
from ragmeter.testing import Fault, Totals, documents
from ragmeter.tokens import count_tokens, get_encoding

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SDKs that leave their clients open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

PASSAGE = documents()["a-christmas-carol-1.txt"][:1500]
QUESTION = "What does Scrooge think of Christmas?"
AMAZON = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "aws_region": "us-east-1"}


def ollama(server, monkeypatch):
    from lightrag.llm.ollama import ollama_embed, ollama_model_complete

    return functools.partial(ollama_model_complete, host=server.url), functools.partial(
        ollama_embed.func, embed_model="bge-m3", host=server.url, embedding_dim=64
    )


def gemini(server, monkeypatch):
    from lightrag.llm.gemini import gemini_embed, gemini_model_complete

    access = {"base_url": server.url, "api_key": "any"}
    return functools.partial(gemini_model_complete, **access), functools.partial(
        gemini_embed.func, embedding_dim=64, **access
    )


def anthropic_and_voyage(server, monkeypatch):
    import voyageai
    from lightrag.llm.anthropic import anthropic_complete
    from lightrag.llm.voyageai import voyageai_embed

    own = voyageai.AsyncClient
    monkeypatch.setattr(voyageai, "AsyncClient", functools.partial(own, base_url=f"{server.url}/voyage/v1"))
    return functools.partial(anthropic_complete, base_url=server.url, api_key="any"), functools.partial(
        voyageai_embed.func, api_key="any", embedding_dim=64
    )


def bedrock(server, monkeypatch):
    from lightrag.llm.bedrock import bedrock_complete, bedrock_embed

    access = {**AMAZON, "endpoint_url": server.url}
    return functools.partial(bedrock_complete, **access), functools.partial(bedrock_embed.func, **access)


def zhipu(server, monkeypatch):
    from lightrag.llm.zhipu import zhipu_complete, zhipu_embedding

    monkeypatch.setenv("ZHIPUAI_BASE_URL", f"{server.url}/api/paas/v4")
    return functools.partial(zhipu_complete, api_key="any.key", model="glm-4"), functools.partial(
        zhipu_embedding.func, api_key="any.key", embedding_dim=64
    )


def openai_and_jina(server, monkeypatch):
    from lightrag.llm.jina import jina_embed
    from lightrag.llm.openai import openai_complete

    async def embed(texts):
        url = f"{server.base_url}/embeddings"
        return await jina_embed.func(texts, base_url=url, api_key="any", embedding_dim=64)

    return functools.partial(openai_complete, base_url=server.base_url, api_key="any"), embed


BINDINGS = {
    binding.__name__: binding for binding in (ollama, gemini, anthropic_and_voyage, bedrock, zhipu, openai_and_jina)
}
STREAMING = sorted(set(BINDINGS) - {"zhipu"})  # LightRAG's Zhipu binding does not stream


async def make(folder, complete, embed, **options):
    rag = LightRAG(
        working_dir=str(folder),
        workspace=folder.name,
        llm_model_func=complete,
        llm_model_name="stub-model",
        embedding_func=EmbeddingFunc(embedding_dim=64, func=embed),
        tokenizer=Tokenizer("o200k_base", get_encoding("o200k_base")),
        enable_llm_cache=False,
        **options,
    )
    await rag.initialize_storages()
    return rag


async def ask(rag, mode, **options):
    answer = await rag.aquery(QUESTION, QueryParam(mode=mode, enable_rerank=False, **options))
    return answer if isinstance(answer, str) else "".join([piece async for piece in answer])


def assert_exact(usage, totals):
    assert usage == usage | {
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "call_count": totals.model_calls,
        "embedding_tokens": totals.embedding_tokens,
        "embedding_calls": totals.embedding_calls,
        "origin": "reported",
    }


@pytest.fixture(params=BINDINGS)
async def rag(request, server, tmp_path, monkeypatch):
    rag = await make(tmp_path, *BINDINGS[request.param](server, monkeypatch))
    yield rag
    await rag.finalize_storages()


async def test_a_binding_costs_what_was_billed(server, rag, request):
    tracked = TokenTrackingLightRAG(rag)
    await tracked.ainsert(PASSAGE, file_paths="carol.txt")
    ingest = Totals.of(server.bills)
    for mode in ("mix", "bypass"):
        assert await ask(tracked, mode)
    if request.node.callspec.params["rag"] in STREAMING:
        for mode in ("naive", "bypass"):
            assert await ask(tracked, mode, stream=True) == server.bills[-1].text
    tracker = tracked.get_token_tracker()
    assert_exact(tracker.get_usage(), server.totals())
    paid = tracker.by("file_path")["carol.txt"]
    assert paid.calls == ingest.calls
    assert paid.usage.total_tokens == ingest.total_tokens + ingest.embedding_tokens
    found = {role: totals.calls for role, totals in tracker.by("role").items()}
    assert set(found) == {"extract", "glean", "keyword", "query", "embedding"}
    billed = Counter(bill.role for bill in server.bills)
    # Gemini's binding writes the history into the prompt, which hides from the server that it is asked to glean.
    assert found["extract"] + found["glean"] == billed["extract"] + billed["glean"]
    assert (found["keyword"], found["embedding"]) == (billed["keyword"], billed["embedding"])
    assert ragmeter.health()["errors"] == 0


@pytest.mark.parametrize("name", STREAMING)
async def test_a_streamed_question_that_nobody_waits_for_is_estimated(server, tmp_path, monkeypatch, name):
    rag = await make(tmp_path, *BINDINGS[name](server, monkeypatch))
    tracked = TokenTrackingLightRAG(rag)
    answer = await tracked.aquery(QUESTION, QueryParam(mode="bypass", stream=True))
    for _ in range(3):
        await anext(answer)
    await answer.aclose()
    await rag.finalize_storages()
    usage, (bill,) = tracked.get_token_tracker().get_usage(), server.bills
    assert (usage["call_count"], usage["estimated_calls"]) == (1, 1)
    assert 0 < usage["completion_tokens"] < bill.completion_tokens
    assert usage["prompt_tokens"] > 0


@pytest.mark.parametrize("theirs", [False, True], ids=["ours", "LightRAG's"])
@pytest.mark.parametrize("name", ["ollama", "gemini"])
async def test_a_tracker_that_the_binding_tells_too_counts_nothing_twice(server, tmp_path, monkeypatch, name, theirs):
    handed = LightRagTracker() if theirs else TokenTracker()
    complete, embed = BINDINGS[name](server, monkeypatch)
    rag = await make(tmp_path, complete, embed, llm_model_kwargs={"token_tracker": handed})
    tracked = TokenTrackingLightRAG(rag)
    await ask(tracked, "bypass")
    await ask(tracked, "bypass", stream=True)
    await rag.finalize_storages()
    assert_exact(tracked.get_token_tracker().get_usage(), server.totals())
    assert handed.get_usage()["call_count"] in ({2} if theirs else {0})


@pytest.mark.parametrize("name", ["jina_rerank", "ali_rerank", "cohere_rerank"])
async def test_rerankers(server, tmp_path, monkeypatch, name):
    import lightrag.rerank

    paths = {
        "jina_rerank": "/v1/rerank",
        "cohere_rerank": "/v2/rerank",
        "ali_rerank": "/api/v1/services/rerank/text-rerank/text-rerank",
    }
    rerank = functools.partial(getattr(lightrag.rerank, name), api_key="any", base_url=server.url + paths[name])
    rag = await make(tmp_path, *ollama(server, monkeypatch), rerank_model_func=rerank)
    await rag.ainsert(PASSAGE)
    server.reset()
    tracked = TokenTrackingLightRAG(rag)
    await tracked.aquery(QUESTION, QueryParam(mode="naive", enable_rerank=True))
    await rag.finalize_storages()
    tracker = tracked.get_token_tracker()
    assert_exact(tracker.get_usage(), server.totals())
    ranked = tracker.by("operation")["rerank"]
    assert ranked.calls == server.totals().rerank_calls == 1
    if name == "cohere_rerank":  # bills searches and says nothing of tokens
        assert (ranked.usage.search_units, ranked.usage.input_tokens) == (1, None)
    else:
        assert ranked.usage.input_tokens == server.totals().rerank_tokens


async def test_lollms_says_nothing_and_is_estimated(server, tmp_path):
    from lightrag.llm.lollms import lollms_embed, lollms_model_complete

    complete = functools.partial(lollms_model_complete, base_url=server.url)
    rag = await make(tmp_path, complete, functools.partial(lollms_embed.func, base_url=server.url))
    tracked = TokenTrackingLightRAG(rag)
    text = await ask(tracked, "bypass")
    streamed = await ask(tracked, "bypass", stream=True)
    await rag.embedding_func(["of Scrooge"])
    await rag.finalize_storages()
    usage = tracked.get_token_tracker().get_usage()
    assert (usage["call_count"], usage["estimated_calls"]) == (2, 2)
    assert usage["completion_tokens"] == count_tokens(text) + count_tokens(streamed)
    assert usage["prompt_tokens"] >= 2 * count_tokens(QUESTION)


async def test_a_failed_attempt_of_a_binding_that_is_tried_again(server, tmp_path, monkeypatch):
    server.faults.add(Fault.SERVER_ERROR)
    rag = await make(tmp_path, *anthropic_and_voyage(server, monkeypatch))
    tracked = TokenTrackingLightRAG(rag)
    await ask(tracked, "bypass")
    await rag.finalize_storages()
    assert len(server.refused) == 1
    assert_exact(tracked.get_token_tracker().get_usage(), server.totals())


async def test_a_function_that_takes_a_tracker_is_offered_one(server, tmp_path):
    async def complete(prompt, system_prompt=None, history_messages=(), token_tracker=None, **kwargs):
        if token_tracker is not None:
            token_tracker.add_usage({"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15})
        return "From a server that no observer knows."

    async def embed(texts):
        raise NotImplementedError

    rag = await make(tmp_path, complete, embed)
    tracked = TokenTrackingLightRAG(rag)
    await ask(tracked, "bypass")
    await rag.finalize_storages()
    usage = tracked.get_token_tracker().get_usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["call_count"]) == (12, 3, 1)
    assert usage["origin"] == "reported"


class FakeTensor(list):
    """As much of a tensor as LightRAG's binding touches."""

    def to(self, device):
        return self


def fake_transformers():
    """A tokenizer and a model that answers with the beginning of its prompt; the real ones need gigabytes."""

    class AutoTokenizer:
        pad_token = "<pad>"

        @classmethod
        def from_pretrained(cls, *args, **kwargs):
            return cls()

        def apply_chat_template(self, messages, **kwargs):
            return "\n".join(message["content"] for message in messages)

        def __call__(self, text, **kwargs):
            return {"input_ids": FakeTensor([FakeTensor(map(ord, text))])}

        def decode(self, ids, **kwargs):
            return "".join(map(chr, ids))

    class AutoModelForCausalLM:
        device = "cpu"

        @classmethod
        def from_pretrained(cls, *args, **kwargs):
            return cls()

        def generate(self, input_ids, **kwargs):
            return [[*input_ids[0], *input_ids[0][:20]]]

    return types.SimpleNamespace(AutoTokenizer=AutoTokenizer, AutoModelForCausalLM=AutoModelForCausalLM)


def fake_lmdeploy():
    class Pipe:
        async def generate(self, messages, **kwargs):
            yield types.SimpleNamespace(response=messages[-1]["content"][:20])

    return types.SimpleNamespace(
        version_info=(0, 9, 0), __version__="0.9.0", GenerationConfig=dict, pipeline=lambda **kwargs: Pipe(),
        ChatTemplateConfig=dict, TurbomindEngineConfig=dict,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["hf", "lmdeploy"])
async def test_a_local_model_is_counted_with_the_tokenizer(server, tmp_path, monkeypatch, name):
    """The bindings are LightRAG's; the libraries below them are fakes, for the real ones need gigabytes."""
    import pipmaster

    monkeypatch.setattr(pipmaster, "is_installed", lambda *_: True)
    monkeypatch.setitem(sys.modules, "transformers", fake_transformers())
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "lmdeploy", fake_lmdeploy())
    if name == "hf":
        from lightrag.llm.hf import hf_model_complete as complete
    else:
        from lightrag.llm.lmdeploy import lmdeploy_model_if_cache

        complete = functools.partial(lmdeploy_model_if_cache, "internlm")

    rag = await make(tmp_path, complete, ollama(server, monkeypatch)[1])
    tracked = TokenTrackingLightRAG(rag)
    answer = await ask(tracked, "bypass")
    await rag.finalize_storages()
    usage = tracked.get_token_tracker().get_usage()
    assert (usage["call_count"], usage["estimated_calls"]) == (1, 1)
    assert usage["completion_tokens"] == count_tokens(answer) > 0
    assert usage["prompt_tokens"] >= count_tokens(QUESTION)
    monkeypatch.undo()
    for module in ("lightrag.llm.hf", "lightrag.llm.lmdeploy"):
        sys.modules.pop(module, None)


async def test_nvidias_embeddings_go_through_the_openai_sdk(server):
    from lightrag.llm.nvidia_openai import nvidia_openai_embed

    ragmeter.instrument()
    async with ragmeter.run() as run:
        await nvidia_openai_embed.func(["of Scrooge"], base_url=server.base_url, api_key="any")
    assert (run.calls, run.usage.input_tokens) == (1, server.totals().embedding_tokens)
    assert run.totals.reported_calls == 1
