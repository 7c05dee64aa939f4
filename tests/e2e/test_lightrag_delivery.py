"""A real LightRAG with a backend configured: what finished operations cost arrives there by itself, once each."""

import asyncio
import json

import pytest
import standardwebhooks
from lightrag import LightRAG, QueryParam
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.utils import EmbeddingFunc, Tokenizer

import ragmeter
from ragmeter import Ledger
from ragmeter.lightrag import TokenTrackingLightRAG
from ragmeter.testing import Totals, documents
from ragmeter.tokens import get_encoding

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATHS = {"/api/v1/webhooks/knowledge/metrics", "/hook"}


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
        workspace="delivery",
        llm_model_func=complete,
        embedding_func=EmbeddingFunc(embedding_dim=server.dimensions, func=embed),
        tokenizer=Tokenizer("o200k_base", get_encoding("o200k_base")),
        enable_llm_cache=False,
    )
    await rag.initialize_storages()
    yield TokenTrackingLightRAG(rag)
    await rag.finalize_storages()


@pytest.fixture
def backend(receiver, monkeypatch):
    monkeypatch.setenv("BIZNDER_API_BASE_URL", receiver.url)
    monkeypatch.setenv("BIZNDER_SERVICE_TOKEN", "service-token")
    monkeypatch.setenv("RAGMETER_WEBHOOK_URL", receiver.url + "/hook")
    monkeypatch.setenv("RAGMETER_WEBHOOK_SECRET", SECRET)
    return receiver


def billed(totals):
    """A metrics object, from what the stub billed."""
    cached, reasoning = totals.cached_tokens, totals.reasoning_tokens
    return {
        "prompt_tokens": totals.prompt_tokens, "completion_tokens": totals.completion_tokens,
        "total_tokens": totals.total_tokens, "cached_tokens": cached, "input_cached_tokens": cached,
        "input_audio_tokens": totals.prompt_audio_tokens, "output_reasoning_tokens": reasoning,
        "output_audio_tokens": totals.completion_audio_tokens,
        "output_accepted_prediction_tokens": totals.accepted_prediction_tokens,
        "output_rejected_prediction_tokens": totals.rejected_prediction_tokens, "call_count": totals.model_calls,
        "input_usage": totals.prompt_tokens, "input": totals.prompt_tokens - cached,
        "output_usage": totals.completion_tokens, "output": totals.completion_tokens - reasoning,
        "total_usage": totals.total_tokens,
    }  # fmt: skip


async def test_uploads_and_queries_arrive_once_and_cost_what_was_billed(server, rag, backend, tmp_path):
    backend.faults = [500, "take and cut", "take", "wait"]
    short = {name: f"MARK-{n} {text[:1500]}" for n, (name, text) in enumerate(documents().items())}
    (one, *others), errors = list(short), ragmeter.health()["errors"]
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        # As LightRAG's own server does: an upload is put in line, and processed in the background.
        await rag.apipeline_enqueue_documents([short[one]], file_paths=[one], track_id="upload_one")
        await rag.apipeline_enqueue_documents(
            [short[name] for name in others], file_paths=others, track_id="upload_others"
        )
        await asyncio.create_task(rag.apipeline_process_enqueue_documents())
        uploads = list(server.bills)
        assert await rag.aquery("Whom did Alice follow? MARK-q0", QueryParam(mode="naive", enable_rerank=False))
        stream = await rag.aquery("Who is it? MARK-q1", QueryParam(mode="mix", enable_rerank=False, stream=True))
        assert "".join([piece async for piece in stream])
        assert await asyncio.to_thread(ledger.flush, 20)
        expected = 2 * (2 + 2)  # two backends; two uploads and two questions
        await asyncio.to_thread(backend.wait_for, lambda: len(ledger.letters("sent")) == expected)
        by_track = {row["track_id"]: row for row in ledger.usage(by=["track_id"], where={"operation": "chat"})}

    taken = dict(zip(backend.ids(backend.taken), backend.taken, strict=True))
    assert len(taken) == expected
    assert len(backend.taken) == expected + 1  # the one whose answer was cut, again under its id
    assert {path for _, _, path, _ in taken.values()} == PATHS

    def found(path):
        bodies = [json.loads(body) for _, body, where, _ in taken.values() if where == path]
        return [body.get("data", body) for body in bodies]

    extracted = [
        Totals.of(bill for bill in uploads if set(bill.markers) & {f"MARK-{n}" for n in numbers})
        for numbers in ([0], range(1, len(short)))
    ]
    assert sum(totals.total_tokens for totals in extracted) == Totals.of(uploads).total_tokens  # nothing was summarised
    truth = [*extracted, server.totals("MARK-q0"), server.totals("MARK-q1")]
    for path in PATHS:
        data = sorted(found(path), key=lambda body: body["track_id"] not in {"upload_one", "upload_others"})
        by_id = {body["track_id"]: body["metrics"] for body in data}
        runs = [track_id for track_id in by_id if not track_id.startswith("upload")]
        assert len(runs) == 2
        runs.sort()  # ids of runs are in order of time
        for track_id, totals in zip(["upload_one", "upload_others", *runs], truth, strict=True):
            assert by_id[track_id] == by_id[track_id] | billed(totals)
            assert by_id[track_id]["model"] == server.bills[0].model
    embedded = [body["metrics"]["embedding_tokens"] for body in found("/hook")]
    assert sum(embedded) == server.totals().embedding_tokens
    for track_id, totals in zip(["upload_one", "upload_others"], extracted, strict=True):
        assert by_track[track_id]["usage"]["total_tokens"] == totals.total_tokens

    for headers, body, path, _ in backend.came:
        lower = {name.lower(): text for name, text in headers.items()}
        if path == "/hook":
            assert standardwebhooks.Webhook(SECRET).verify(body, lower)
            assert "authorization" not in lower
        else:
            assert lower["authorization"] == "Bearer service-token"
    assert ragmeter.health()["errors"] == errors


async def test_a_backend_that_is_down_costs_the_user_nothing(rag, backend, tmp_path):
    backend.faults = [500] * 1000
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        answer = await rag.aquery("Say it plainly", QueryParam(mode="bypass"))
        assert answer
        assert await asyncio.to_thread(ledger.flush, 20)
        assert {letter["state"] for letter in ledger.letters()} == {"waiting"}
        assert len(ledger.letters()) == 2
