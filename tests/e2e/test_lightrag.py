"""The LightRAG door, with a real LightRAG and the real SDK over HTTP, against the stub server's own bills."""

import asyncio
import copy
import dataclasses
import gc
import weakref

import numpy as np
import openai
import pytest
from lightrag import LightRAG, QueryParam
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.rerank import jina_rerank
from lightrag.utils import EmbeddingFunc, Tokenizer
from lightrag.utils import TokenTracker as LightRagTracker

import ragmeter
from ragmeter.lightrag import (
    TokenTracker,
    TokenTrackingLightRAG,
    create_tracked_lightrag,
    install,
    track_lightrag_operations,
    uninstall,
)
from ragmeter.testing import Totals, documents
from ragmeter.tokens import get_encoding

TEXTS = documents()


def arguments(folder, complete, embed, dimensions=64, **options):
    return {
        "working_dir": str(folder),
        "workspace": folder.name,
        "llm_model_func": complete,
        "llm_model_name": "gpt-4o-mini",
        "embedding_func": EmbeddingFunc(embedding_dim=dimensions, func=embed),
        "tokenizer": Tokenizer("o200k_base", get_encoding("o200k_base")),
        "force_llm_summary_on_merge": 3,
        "enable_llm_cache": False,
        **options,
    }


def on_the_stub(server, folder, **options):
    access = {"base_url": server.base_url, "api_key": "any"}

    async def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        return await openai_complete_if_cache(
            "gpt-4o-mini", prompt, system_prompt, list(history_messages), **access, **kwargs
        )

    async def embed(texts):
        return await openai_embed.func(texts, model="text-embedding-3-small", **access)

    return arguments(folder, complete, embed, **options)


@pytest.fixture
async def rag(server, tmp_path):
    rag = LightRAG(**on_the_stub(server, tmp_path))
    await rag.initialize_storages()
    yield rag
    await rag.finalize_storages()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    errors = ragmeter.health()["errors"]
    yield
    ragmeter.uninstrument()
    assert ragmeter.current_scope() is None
    assert ragmeter.health()["errors"] == errors


async def ask(rag, question, mode="naive", **options):
    param = QueryParam(mode=mode, enable_rerank=options.pop("enable_rerank", False), **options)
    answer = await rag.aquery(question, param)
    return answer if isinstance(answer, str) else "".join([part async for part in answer])


def assert_exact(usage, totals):
    assert usage == usage | {
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "total_tokens": totals.total_tokens,
        "cached_tokens": totals.cached_tokens,
        "input_cached_tokens": totals.cached_tokens,
        "output_reasoning_tokens": totals.reasoning_tokens,
        "call_count": totals.model_calls,
        "embedding_tokens": totals.embedding_tokens,
        "embedding_calls": totals.embedding_calls,
        "rerank_calls": totals.rerank_calls,
        "rerank_tokens": totals.rerank_tokens,
        "origin": "reported",
    }


async def test_an_ingest_and_questions_cost_what_was_billed(server, rag):
    tracked = TokenTrackingLightRAG(rag)
    with ragmeter.run() as run:
        await tracked.ainsert(list(TEXTS.values()), file_paths=list(TEXTS))
        for mode in ("naive", "local", "global", "hybrid", "mix", "bypass"):
            for stream in (False, True):
                assert await ask(tracked, f"What does Scrooge think of Christmas? {mode}", mode, stream=stream)
    usage = tracked.get_token_tracker().get_usage()
    assert_exact(usage, server.totals())
    assert usage["model"] == server.bills[0].model
    assert run.calls == len(server.bills) == run.totals.reported_calls

    roles = {bill.role for bill in server.bills} - {"other"}
    assert roles == {"extract", "glean", "summary", "keyword", "query", "embedding"}
    for role in roles - {"query"}:
        bills = [bill for bill in server.bills if bill.role == role]
        found = run.by("role")[role]
        assert (found.calls, found.usage.input_tokens, found.usage.output_tokens) == (
            len(bills), sum(bill.prompt_tokens for bill in bills), sum(bill.completion_tokens for bill in bills),
        )  # fmt: skip
    assert set(run.by("operation")) == {"chat", "embeddings"}


async def test_every_document_pays_for_its_own_and_together_they_pay_all(server, rag):
    marked = {name: f"{text} MARK-{number}" for number, (name, text) in enumerate(TEXTS.items())}
    async with track_lightrag_operations(rag) as tracked:
        await tracked.ainsert(list(marked.values()), file_paths=list(marked))
        run = ragmeter.current_run()
    by_file = run.by("file_path")
    assert set(by_file) == set(marked)
    assert sum((part.usage.total_tokens or 0) for part in by_file.values()) == sum(
        bill.total_tokens for bill in server.bills
    )
    assert sum(part.calls for part in by_file.values()) == len(server.bills)
    for number, name in enumerate(marked):
        extracted = [bill for bill in server.bills_for(f"MARK-{number}") if bill.role in {"extract", "glean"}]
        found = run.by("file_path", "role")
        counted = [found[name, role].usage.total_tokens for role in ("extract", "glean")]
        # The last chunk of a document carries its marker; the others are the document's as well.
        assert sum(counted) >= sum(bill.total_tokens for bill in extracted) > 0
    statuses = await rag.doc_status.get_docs_by_track_id(next(iter(run.by("track_id"))))
    assert set(run.by("document")) == set(statuses)


async def test_fifty_questions_at_once_each_in_its_own_run(server, rag):
    await rag.ainsert(TEXTS["alice-in-wonderland.txt"])
    server.reset()
    tracked = TokenTrackingLightRAG(rag)

    async def one(number):
        with ragmeter.run() as run:
            marker = f"MARK-{number}x"
            mode, stream = ("naive", "local", "mix", "bypass")[number % 4], number % 2 == 0
            await ask(tracked, f"Whom did Alice follow? {marker}", mode, stream=stream)
        return marker, run

    for marker, run in await asyncio.gather(*map(one, range(50))):
        billed = Totals.of(bill for bill in server.bills_for(marker))
        keywords_embedded = run.by("operation").get("embeddings")
        usage = run.by("operation")["chat"].usage
        assert (usage.input_tokens, usage.output_tokens) == (billed.prompt_tokens, billed.completion_tokens)
        assert run.by("operation")["chat"].calls == billed.model_calls
        assert keywords_embedded is None or keywords_embedded.usage.input_tokens == billed.embedding_tokens
    assert_exact(tracked.get_token_tracker().get_usage(), server.totals())


async def test_two_operations_that_overlap_count_their_own_calls(server, rag):
    first, second = TokenTracker(), TokenTracker()
    await asyncio.gather(
        TokenTrackingLightRAG(rag, first).ainsert(TEXTS["alice-in-wonderland.txt"]),
        ask(TokenTrackingLightRAG(rag, second), "Who is it? MARK-b", "bypass"),
    )
    asked = server.totals("MARK-b")
    assert_exact(second.get_usage(), asked)
    assert first.get_usage()["total_tokens"] == server.totals().total_tokens - asked.total_tokens
    assert first.get_usage()["embedding_tokens"] == server.totals().embedding_tokens


def snapshot(rag):
    """Every object that ragmeter could have touched, by identity."""
    owners = {"rag": rag, "embedding": rag.embedding_func}
    owners |= {name: getattr(rag, name) for name in ("chunks_vdb", "entities_vdb", "relationships_vdb")}
    owners |= {f"role {role}": state for role, state in rag._role_llm_states.items()}
    owners |= {cls.__name__: cls for cls in (openai.OpenAI, openai.AsyncOpenAI, LightRAG)}
    found = {(name, key): value for name, owner in owners.items() for key, value in vars(owner).items()}
    return found | {("config", key): value for key, value in rag.chunks_vdb.global_config.items()}


def differences(before, after):
    return {key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)}


async def test_afterwards_the_lightrag_is_the_same_object_by_object(server, tmp_path):
    async def rerank(query, documents, top_n=None):
        return await jina_rerank(query, documents, top_n, api_key="any", base_url=f"{server.base_url}/rerank")

    rag = LightRAG(**on_the_stub(server, tmp_path, rerank_model_func=rerank))
    await rag.initialize_storages()
    before = snapshot(rag)
    async with track_lightrag_operations(rag) as outer:
        async with track_lightrag_operations(rag):
            assert differences(before, snapshot(rag))
        assert differences(before, snapshot(rag))
        await ask(outer, "Say it plainly", "bypass")
    ragmeter.uninstrument()
    changed = differences(before, snapshot(rag))
    assert not changed
    await ask(TokenTrackingLightRAG(rag), "Say it again", "bypass")
    ragmeter.uninstrument()
    assert not differences(before, snapshot(rag))
    await rag.finalize_storages()


@pytest.mark.parametrize("roles", [["query"], ["extract", "keyword", "query", "vlm"]], ids=["one role", "all roles"])
async def test_roles_that_are_reconfigured_meanwhile_stay_metered_and_are_left_clean(server, rag, roles):
    async with track_lightrag_operations(rag) as tracked:
        for role in roles:
            await rag.aupdate_llm_role_config(role, max_async=2)
        await ask(tracked, "Say it plainly", "bypass")
        assert_exact(tracked.get_token_tracker().get_usage(), server.totals())
        metered = [rag._role_llm_states[role].wrapped for role in roles]
    assert "_wrap_llm_role_func" not in vars(rag)
    assert all(rag._role_llm_states[role].wrapped not in metered for role in roles)
    await ask(rag, "And unmetered", "bypass")
    assert tracked.get_token_tracker().get_usage()["call_count"] == 1
    await ask(tracked, "And metered again", "bypass")
    assert tracked.get_token_tracker().get_usage()["call_count"] == 2


async def test_a_lightrag_that_is_dropped_is_not_kept_alive_by_its_meter(server, tmp_path):
    rag = LightRAG(**on_the_stub(server, tmp_path))
    await rag.initialize_storages()
    install(rag)  # and never taken back
    await rag.finalize_storages()
    gone = weakref.ref(rag)
    del rag
    gc.collect()
    assert gone() is None


async def test_plain_calls_count_while_installed_and_not_after(server, rag):
    install(TokenTrackingLightRAG(rag))  # the same as install(rag)
    with ragmeter.run() as run:
        await ask(rag, "Say it plainly", "bypass")
    uninstall(rag)
    uninstall(rag)  # once too often does no harm
    with ragmeter.run() as after:
        await ask(rag, "Say it plainly", "bypass")
    assert run.calls == 1
    assert [*run.by("role")] == ["query"]
    assert [*after.by("role")] == [None]  # seen by the observer of the SDK, which stays on


@pytest.mark.parametrize("read", [0, 2], ids=["unread", "half read"])
async def test_a_stream_that_is_dropped_is_paid_though_nobody_closes_it(server, tmp_path, read):
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="any") as client:

        async def complete(prompt, **_):
            message = {"role": "user", "content": prompt}
            chunks = await client.chat.completions.create(model="gpt-4o-mini", messages=[message], stream=True)
            return (chunk.choices[0].delta.content or "" async for chunk in chunks)

        rag = LightRAG(**on_the_stub(server, tmp_path, llm_model_func=complete))
        tracked = TokenTrackingLightRAG(rag)
        stream = await tracked.aquery("Say it at length", QueryParam(mode="bypass", stream=True))
        for _ in range(read):
            await anext(stream)
        del stream
        gc.collect()
        usage = tracked.get_token_tracker().get_usage()
    assert (usage["call_count"], usage["estimated_calls"]) == (1, 1)
    assert bool(usage["completion_tokens"]) == bool(read)


async def test_reranks_stand_beside_the_models(server, tmp_path):
    async def rerank(query, documents, top_n=None):
        return await jina_rerank(query, documents, top_n, api_key="any", base_url=f"{server.base_url}/rerank")

    rag = LightRAG(**on_the_stub(server, tmp_path, rerank_model_func=rerank))
    await rag.initialize_storages()
    await rag.ainsert(TEXTS["alice-in-wonderland.txt"])
    server.reset()
    tracked = TokenTrackingLightRAG(rag)
    for mode in ("naive", "mix"):
        await ask(tracked, "What did the White Rabbit take out of its pocket?", mode, enable_rerank=True)
    await rag.finalize_storages()
    usage = tracked.get_token_tracker().get_usage()
    assert usage["rerank_calls"] == 2
    assert_exact(usage, server.totals())


async def test_lightrags_own_tracker_counts_too(server, rag):
    theirs = LightRagTracker()
    tracked = TokenTrackingLightRAG(rag)
    tracked.set_token_tracker(theirs)
    assert tracked.get_token_tracker() is theirs
    async with track_lightrag_operations(rag, theirs):
        await ask(tracked, "Say it plainly", "bypass")  # inside a block that counts in the same tracker: once
    totals = server.totals()
    assert theirs.get_usage() == {
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "total_tokens": totals.total_tokens,
        "call_count": 1,
    }


async def test_trackers_of_any_kind_count_each_their_own(server, rag):
    @dataclasses.dataclass
    class Counter:  # no key of a dict, and equal to the next one
        __slots__ = ("tokens",)
        tokens: int

        def add_usage(self, counts):
            self.tokens += counts["total_tokens"]

    one, other = Counter(0), Counter(0)
    two = TokenTrackingLightRAG(rag, one), TokenTrackingLightRAG(rag, other)
    for tracked in two:
        await ask(tracked, "Say it plainly", "bypass")
    assert [one.tokens, other.tokens] == [bill.total_tokens for bill in server.bills]


async def test_a_tracker_of_ones_own_kind_hears_every_call_and_counts_it_once(server, rag):
    class Heard(TokenTracker):
        def add_usage(self, counts):
            heard.append(counts)
            super().add_usage(counts)

    heard, tracker = [], Heard()
    await ask(TokenTrackingLightRAG(rag, tracker), "Say it plainly", "bypass")
    assert [counts["total_tokens"] for counts in heard] == [server.totals().total_tokens]
    assert_exact(tracker.get_usage(), server.totals())


async def test_a_tracker_inside_the_model_function_does_not_count_twice(server, tmp_path):
    tracker = TokenTracker()
    rag = LightRAG(**on_the_stub(server, tmp_path, llm_model_kwargs={"token_tracker": tracker}))
    await rag.initialize_storages()
    await ask(TokenTrackingLightRAG(rag, tracker), "Say it plainly", "bypass")
    assert_exact(tracker.get_usage(), server.totals())
    await rag.finalize_storages()


@pytest.mark.parametrize("tracker", [None, "a text", object()])
async def test_what_is_no_tracker_is_refused(rag, tracker):
    tracked = TokenTrackingLightRAG(rag)
    with pytest.raises(TypeError, match=r"a token tracker has a method add_usage\(dict\)"):
        tracked.set_token_tracker(tracker)


def test_sync_methods_count(server, tmp_path):
    tracked = create_tracked_lightrag(**on_the_stub(server, tmp_path))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(tracked.initialize_storages())
        tracked.insert(TEXTS["alice-in-wonderland.txt"])
        assert tracked.query("Whom did Alice follow?", QueryParam(mode="naive", enable_rerank=False))
        loop.run_until_complete(tracked.finalize_storages())
    finally:
        workers = asyncio.all_tasks(loop)  # LightRAG's, which live as long as their loop
        for worker in workers:
            worker.cancel()
        loop.run_until_complete(asyncio.gather(*workers, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
    assert_exact(tracked.get_token_tracker().get_usage(), server.totals())


async def test_everything_else_is_the_lightrags_own(rag):
    tracked = TokenTrackingLightRAG(rag)
    assert tracked.working_dir == rag.working_dir
    assert "aquery_llm" in dir(tracked)
    assert tracked.aquery.__doc__ == rag.aquery.__doc__
    tracked.cosine_threshold = 0.5
    assert rag.cosine_threshold == 0.5
    assert TokenTrackingLightRAG(tracked)._rag is copy.copy(tracked)._rag is rag
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = tracked.no_such_thing


class Untouchable:
    """Stands for a release of LightRAG that ragmeter knows nothing of."""

    embedding_func = None


def test_a_release_that_does_not_fit_is_refused_loudly():
    with pytest.raises(RuntimeError, match=r"Untouchable.*LightRAG\._wrap_llm_role_func.*utils\.limit_async_func_call"):
        install(Untouchable())


async def embed_here(texts):
    return np.ones((len(texts), 8))


async def test_model_functions_that_call_no_known_sdk_are_estimated(tmp_path):
    async def complete(prompt, system_prompt=None, history_messages=(), stream=False, **kwargs):
        if not stream:
            return "a plain answer of six words"

        async def pieces():
            yield "an answer "
            yield "in two pieces"

        return pieces()

    rag = LightRAG(**arguments(tmp_path, complete, embed_here, 8))
    await rag.initialize_storages()
    tracked = TokenTrackingLightRAG(rag)
    await ask(tracked, "Say it plainly", "bypass")
    assert await ask(tracked, "Say it plainly", "bypass", stream=True) == "an answer in two pieces"
    usage = tracked.get_token_tracker().get_usage()
    assert (usage["call_count"], usage["estimated_calls"], usage["model"]) == (2, 2, "gpt-4o-mini")
    assert usage["completion_tokens"] == ragmeter.count_tokens(
        "a plain answer of six words", "gpt-4o-mini"
    ) + ragmeter.count_tokens("an answer in two pieces", "gpt-4o-mini")
    await rag.finalize_storages()


async def test_what_a_model_function_tells_a_tracker_beats_the_estimate(tmp_path):
    tracker = TokenTracker()

    async def complete(prompt, **kwargs):
        tracker.add_usage({"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107})
        return "whatever"

    rag = LightRAG(**arguments(tmp_path, complete, embed_here, 8))
    await rag.initialize_storages()
    await ask(TokenTrackingLightRAG(rag, tracker), "Say it plainly", "bypass")
    usage = tracker.get_usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["call_count"]) == (100, 7, 1)
    assert usage["origin"] == "reported"
    await rag.finalize_storages()


async def test_a_model_function_that_fails_unseen_costs_nothing(tmp_path):
    async def complete(prompt, **kwargs):
        raise LookupError("mine")

    rag = LightRAG(**arguments(tmp_path, complete, embed_here, 8))
    await rag.initialize_storages()
    tracked = TokenTrackingLightRAG(rag)
    # What LightRAG makes of the error is the same with and without the meter.
    param = QueryParam(mode="bypass")
    assert await tracked.aquery("Say it plainly", param) == await rag.aquery("Say it plainly", param)
    assert tracked.get_token_tracker().get_usage()["call_count"] == 0
    await rag.finalize_storages()


@pytest.mark.parametrize(
    "counts",
    [
        {}, {"prompt_tokens": None}, {"prompt_tokens": "many"}, {"prompt_tokens": -5}, {"prompt_tokens": float("nan")},
        {"prompt_tokens": True}, {"prompt_tokens": 10**40}, {"unheard": 5},
    ],
)  # fmt: skip
def test_a_tracker_takes_anything_and_raises_nothing(counts):
    tracker = TokenTracker()
    tracker.add_usage(counts)
    usage = tracker.get_usage()
    assert usage["call_count"] == 1
    assert usage["prompt_tokens"] >= 0


def test_a_tracker_that_lightrag_copies_deeply_is_still_the_same():
    tracker = TokenTracker()
    assert copy.copy(tracker) is copy.deepcopy({"x": tracker})["x"] is tracker


def test_a_tracker_is_a_context_manager_and_can_be_reset():
    tracker = TokenTracker()
    tracker.add_usage({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
    with tracker:
        assert tracker.get_usage()["call_count"] == 0
        tracker.add_usage({"input_tokens": 5, "output_tokens": 1})
    assert tracker.get_usage()["total_tokens"] == 6
    assert str(tracker) == "LLM call count: 1, Prompt tokens: 5, Completion tokens: 1, Total tokens: 6"
