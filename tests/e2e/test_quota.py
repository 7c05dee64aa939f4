"""Quotas around real hosts: the SDK, a LightRAG and whatever they call, against the stub server's own bills."""

import asyncio
import time
import uuid

import openai
import pytest
from lightrag import LightRAG
from lightrag.base import DocStatus
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.utils import EmbeddingFunc, Tokenizer

import ragmeter
from ragmeter import Ledger, Quota, QuotaExceeded
from ragmeter.lightrag import TokenTrackingLightRAG
from ragmeter.prices import Prices
from ragmeter.testing import Fault, documents
from ragmeter.tokens import get_encoding

PRICES = Prices({"gpt-4o-mini": {"input": "0.15", "output": "0.60"}})
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def quota(tmp_path):
    quota = Quota.open(f"sqlite:{tmp_path}/ledger.db", prices=PRICES, output_tokens=200)
    errors = ragmeter.health()["errors"]
    yield quota
    assert ragmeter.health()["errors"] == errors
    assert quota.flush()


@pytest.fixture
def client(server):
    ragmeter.instrument("openai")
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield client


def ask(client, **options):
    return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **options)


def used(quota, tenant="acme", **scope):
    (standing,) = quota.usage(tenant=tenant, **scope)
    return standing["used"], standing["reserved"]


def test_a_call_is_reserved_before_and_settled_after(server, client, quota):
    quota.limit("acme", tokens=10_000, tenant="acme")
    with ragmeter.run(tenant="acme", quota=quota):
        ask(client, max_tokens=100)
        stream = ask(client, max_tokens=100, stream=True)
        assert used(quota)[1] > 100, "reserved while the stream is open"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert used(quota) == (sum(bill.total_tokens for bill in server.bills), 0)


def test_a_call_without_room_is_not_made(server, client, quota):
    quota.limit("acme", tokens=50, tenant="acme")
    with ragmeter.run(tenant="acme", quota=quota) as run:
        with pytest.raises(QuotaExceeded, match="quota 'acme' is used up"):
            ask(client, max_tokens=100)
        with ragmeter.run(tenant="other"):
            ask(client, max_tokens=100)
    assert (len(server.bills), run.calls) == (1, 1)
    assert used(quota) == (0, 0)


async def test_a_call_without_room_is_not_made_by_an_async_client_either(server, client, quota):
    quota.limit("acme", calls=1, tenant="acme")
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any") as other:
        async with ragmeter.run(tenant="acme", quota=quota):
            answers = await asyncio.gather(*(ask(other) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, QuotaExceeded) for answer in answers) == 4
    assert len(server.bills) == 1


def test_money_is_what_the_prices_say(server, client, quota):
    quota.limit("acme", money="1", tenant="acme")
    with ragmeter.run(tenant="acme", quota=quota):
        ask(client)
        with pytest.raises(QuotaExceeded, match="nobody knows the price"):
            client.chat.completions.create(model="gpt-new", messages=HELLO)
    (bill,) = server.bills
    counts = {"input_tokens": bill.prompt_tokens, "output_tokens": bill.completion_tokens}
    assert used(quota) == (PRICES.cost(None, "gpt-4o-mini", counts), 0)


def test_a_refused_request_is_given_back(server, client, quota):
    quota.limit("acme", tokens=10_000, tenant="acme")
    server.faults.add(Fault.SERVER_ERROR)
    with ragmeter.run(tenant="acme", quota=quota):
        with pytest.raises(openai.InternalServerError):
            ask(client, max_tokens=500)
        assert quota.flush()
        assert used(quota) == (0, 0)


def test_a_lost_answer_counts_as_it_was_reserved(server, client, quota):
    quota.limit("acme", tokens=10_000, tenant="acme")
    server.faults.add(Fault.SLOW, delay=0.5)
    with ragmeter.run(tenant="acme", quota=quota):
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=0.1), max_tokens=500)
        lost, reserved = used(quota)
        assert (lost > 500, reserved) == (True, 0)
        ask(client, max_tokens=500)
    assert used(quota) == (lost + server.bills[-1].total_tokens, 0)


def test_an_override_passes_and_is_written_down(server, client, quota):
    quota.limit("acme", calls=0, tenant="acme")
    with ragmeter.run(tenant="acme", quota=quota.override("root", "demonstration")):
        ask(client)
    assert used(quota) == (1, 0)
    assert [note["who"] for note in quota.notes()] == ["root"]


def test_a_run_that_has_begun_may_finish(server, client, quota):
    quota.limit("acme", calls=1, tenant="acme", policy="finish")
    with ragmeter.run(tenant="acme", quota=quota):
        for _ in range(3):
            with ragmeter.run("inner"):
                ask(client)
    with ragmeter.run(tenant="acme", quota=quota), pytest.raises(QuotaExceeded):
        ask(client)
    assert len(server.bills) == 3


def test_a_warning_goes_to_the_webhook(server, client, tmp_path, monkeypatch):
    monkeypatch.setenv("RAGMETER_WEBHOOK_URL", "http://127.0.0.1:9/hook")
    monkeypatch.setattr("ragmeter.export.webhook.start_sender", lambda ledger: None)  # test_delivery.py sends
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        quota = Quota.open(f"sqlite:{tmp_path}/ledger.db")
        quota.limit("acme", calls=2, tenant="acme", marks=[0.5])
        with ragmeter.run(tenant="acme", quota=quota):
            ask(client)
        # It is told by a thread of the quota's own.
        deadline = time.monotonic() + 30
        while not (letters := ledger.letters()) and time.monotonic() < deadline:
            time.sleep(0.02)
        (letter,) = letters
    assert (letter["destination"], letter["subject"], letter["kind"]) == ("webhook", "acme", "quota.warning")
    assert '"mark": 0.5' in letter["body"]


@pytest.fixture
async def rag(server, tmp_path):
    access = {"base_url": server.base_url, "api_key": "any"}

    async def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        return await openai_complete_if_cache(
            "gpt-4o-mini", prompt, system_prompt, list(history_messages), **access, **kwargs
        )

    async def embed(texts):
        return await openai_embed.func(texts, model="text-embedding-3-small", **access)

    rag = LightRAG(
        working_dir=str(tmp_path),
        workspace=tmp_path.name,
        llm_model_func=complete,
        llm_model_name="gpt-4o-mini",
        embedding_func=EmbeddingFunc(embedding_dim=64, func=embed),
        tokenizer=Tokenizer("o200k_base", get_encoding("o200k_base")),
        enable_llm_cache=False,
        enable_llm_cache_for_entity_extract=False,
    )
    await rag.initialize_storages()
    yield rag
    await rag.finalize_storages()


async def retry_failed(rag, driven):
    """Do what LightRAG's `/documents/reprocess_failed` does: documents that failed are tried again on request only."""
    from lightrag.kg import shared_storage

    status = await shared_storage.get_namespace_data("pipeline_status", workspace=rag.workspace)
    lock = shared_storage.get_namespace_lock("pipeline_status", workspace=rag.workspace)
    ingress = await shared_storage.get_pipeline_ingress(rag.workspace)
    assert await shared_storage.commit_manual_retry_request(status, lock, ingress, uuid.uuid4().hex, {}) is None
    await driven.apipeline_process_enqueue_documents()


async def test_an_ingest_that_runs_out_stops_and_can_be_finished(server, rag, quota):
    tracked = TokenTrackingLightRAG(rag)
    texts = documents()
    quota.limit("acme", tokens=6000, tenant="acme")
    async with ragmeter.run("ingest", tenant="acme", quota=quota):
        await tracked.ainsert(list(texts.values()), file_paths=list(texts))
    billed = sum(bill.total_tokens for bill in server.bills)
    assert used(quota) == (billed, 0)
    failed = await rag.doc_status.get_docs_by_statuses([DocStatus.FAILED])
    assert failed
    assert all("quota 'acme' is used up" in str(document.error_msg) for document in failed.values())
    calls = len(server.bills)

    async with ragmeter.run("again, too early", tenant="acme", quota=quota):
        await retry_failed(rag, tracked)
    assert len(server.bills) - calls <= 2, "what still fits in"

    quota.limit("acme", tokens=1_000_000, tenant="acme")
    async with ragmeter.run("again", tenant="acme", quota=quota) as run:
        await retry_failed(rag, tracked)
    assert len(await rag.doc_status.get_docs_by_statuses([DocStatus.PROCESSED])) == len(texts)
    assert run.calls > 0
    assert used(quota) == (sum(bill.total_tokens for bill in server.bills), 0)


async def test_a_model_that_no_observer_sees_is_guarded_too(tmp_path, quota):
    from ragmeter.lightrag import install, uninstall

    called = []

    async def complete(prompt, **kwargs):
        called.append(prompt)
        return "a local answer"

    async def embed(texts):
        raise AssertionError("not asked")

    rag = LightRAG(
        working_dir=str(tmp_path / "local"),
        llm_model_func=complete,
        llm_model_name="local",
        embedding_func=EmbeddingFunc(embedding_dim=8, func=embed),
        tokenizer=Tokenizer("o200k_base", get_encoding("o200k_base")),
    )
    await rag.initialize_storages()
    install(rag)
    quota.limit("acme", calls=2, tenant="acme")
    quota.limit("tokens", tokens=100_000, tenant="acme")
    ask = rag._role_llm_states["query"].wrapped
    async with ragmeter.run(tenant="acme", quota=quota) as run:
        for _ in range(2):
            await ask("What is it?")
        with pytest.raises(QuotaExceeded):
            await ask("And this?")
    uninstall(rag)
    await rag.finalize_storages()
    calls, tokens = quota.usage(tenant="acme")
    assert (calls["used"], calls["reserved"], len(called)) == (2, 0, 2)
    assert (tokens["used"], tokens["reserved"]) == (run.usage.total_tokens, 0)
