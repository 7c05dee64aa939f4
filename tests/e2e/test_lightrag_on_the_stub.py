"""A real LightRAG on the stub server, without any metering: documents become a graph, questions get answers."""

import asyncio

import pytest
from lightrag import LightRAG, QueryParam
from lightrag.base import DocStatus
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.rerank import jina_rerank
from lightrag.utils import EmbeddingFunc, Tokenizer

from ragmeter.testing import StubServer, Totals, documents


class Characters:
    """A tokenizer that needs no vocabulary."""

    def encode(self, content):
        return [ord(character) for character in content]

    def decode(self, tokens):
        return "".join(map(chr, tokens))


@pytest.fixture(scope="module")
def server():
    with StubServer() as server:
        yield server


def make(server, folder, **options):
    access = {"base_url": server.base_url, "api_key": "any"}

    async def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        return await openai_complete_if_cache(
            "gpt-4o-mini", prompt, system_prompt, list(history_messages), **access, **kwargs
        )

    async def embed(texts):
        return await openai_embed.func(texts, model="text-embedding-3-small", **access)

    return LightRAG(
        working_dir=str(folder),
        workspace=folder.name,
        llm_model_func=complete,
        embedding_func=EmbeddingFunc(embedding_dim=server.dimensions, func=embed),
        tokenizer=Tokenizer("characters", Characters()),
        force_llm_summary_on_merge=3,
        **options,
    )


@pytest.mark.parametrize("as_json", [False, True], ids=["records", "json"])
async def test_documents_become_a_graph_that_answers(server, tmp_path, as_json):
    server.reset()
    rag = make(server, tmp_path, entity_extraction_use_json=as_json)
    await rag.initialize_storages()
    try:
        await rag.ainsert(list(documents().values()), file_paths=list(documents()))
        status = await rag.doc_status.get_docs_by_statuses(list(DocStatus))
        assert [entry.status for entry in status.values()] == [DocStatus.PROCESSED] * len(documents())

        labels = await rag.get_graph_labels()
        assert {"Scrooge", "Marley", "Christmas", "Alice", "White Rabbit", "Holmes", "Baker Street"} <= set(labels)
        graph = await rag.get_knowledge_graph("Scrooge", max_depth=1)
        assert {"Scrooge", "Christmas"} <= {node.id for node in graph.nodes}
        assert graph.edges
        assert not {label for label in labels if label.startswith("MARK-")}

        calls = {role: sum(bill.role == role for bill in server.bills) for role in ROLES}
        assert calls["extract"] == calls["glean"] > len(documents())
        assert calls["summary"] > 0
        assert calls["query"] == calls["keyword"] == calls["other"] == 0

        modes = ("naive", "local", "global", "hybrid", "mix")
        questions = [ask(rag, server, mode, stream=stream) for mode in modes for stream in (False, True)]
        await asyncio.gather(*questions)
        assert sum(len(bill.markers) for bill in server.bills) == 2 * (2 + 4 * 3)
        assert all(bill.role != "other" for bill in server.bills)
        assert server.totals().cached_tokens > 0
    finally:
        await rag.finalize_storages()


ROLES = ("extract", "glean", "summary", "keyword", "query", "other")


async def ask(rag, server, mode, *, stream):
    marker = f"MARK-{mode}{int(stream)}"
    param = QueryParam(mode=mode, stream=stream, enable_rerank=False)
    answer = await rag.aquery(f"What does Scrooge think of Christmas? {marker}", param)
    if stream:
        answer = "".join([part async for part in answer])
    bills = server.bills_for(marker)
    roles = ["embedding", "query"] if mode == "naive" else ["keyword", "embedding", "query"]
    assert [bill.role for bill in bills] == roles
    assert answer == bills[-1].text
    assert bills[-1].stream is stream
    assert marker in answer
    assert "speaks of nothing" not in answer
    assert "a-christmas-carol" in answer
    assert Totals.of(bills) == server.totals(marker)


async def test_found_passages_are_reranked(server, tmp_path):
    server.reset()

    async def rerank(query, documents, top_n=None):
        return await jina_rerank(query, documents, top_n, api_key="any", base_url=f"{server.base_url}/rerank")

    rag = make(server, tmp_path, rerank_model_func=rerank)
    await rag.initialize_storages()
    try:
        await rag.ainsert(documents()["alice-in-wonderland.txt"])
        param = QueryParam(mode="naive", stream=False, enable_rerank=True)
        await rag.aquery("What did the White Rabbit take out of its pocket? MARK-r", param)
    finally:
        await rag.finalize_storages()
    assert [bill.role for bill in server.bills_for("MARK-r")] == ["embedding", "rerank", "query"]
    assert server.totals("MARK-r").rerank_tokens > 0


async def test_a_question_past_the_graph_is_answered_too(server, tmp_path):
    server.reset()
    rag = make(server, tmp_path)
    await rag.initialize_storages()
    try:
        answer = await rag.aquery("Say it plainly MARK-direct", QueryParam(mode="bypass", stream=False))
    finally:
        await rag.finalize_storages()
    assert answer == server.bills[0].text
    assert [bill.role for bill in server.bills_for("MARK-direct")] == ["other"]
