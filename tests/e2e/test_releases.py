"""What must hold on every release of LightRAG that hooks fit, whichever of them is installed."""

import asyncio
import dataclasses
import json
import re
import sys

import openai
import pytest
from lightrag import LightRAG, QueryParam, utils
from lightrag.llm.openai import openai_complete_if_cache, openai_embed

import ragmeter
from ragmeter.lightrag import TokenTracker, TokenTrackingLightRAG, install, track_lightrag_operations, uninstall
from ragmeter.testing import documents
from ragmeter.tokens import get_encoding

TEXTS = {
    name: re.sub(r"(?<=[.!?]) ", f" MARK-{number} ", text[:2000])
    for number, (name, text) in enumerate(documents().items())
}
"""Four documents; every piece of one carries its marker."""

MODES = str(QueryParam.__annotations__["mode"])

MARKER_OF = {name: f"MARK-{number}" for number, name in enumerate(TEXTS)}


SHORT = {
    "chunk_token_size": 300, "chunk_overlap_token_size": 30,
    "force_llm_summary_on_merge": 3, "entity_summary_to_max_tokens": 60,
}  # fmt: skip
"""So that short texts have several chunks, and summaries, in new releases and in old ones."""


def fields(cls, **values):
    """Those of the values that this release knows."""
    known = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if name in known}


def model(server):
    async def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        access = {"base_url": server.base_url, "api_key": "any"}
        return await openai_complete_if_cache(
            "gpt-4o-mini", prompt, system_prompt, list(history_messages), **access, **kwargs
        )

    return complete


@pytest.fixture
async def make(server, tmp_path):
    made = []

    async def embed(texts):
        access = {"base_url": server.base_url, "api_key": "any"}
        return await getattr(openai_embed, "func", openai_embed)(texts, model="text-embedding-3-small", **access)

    async def make(complete=None, **options):
        # Those of one name share their storages, whatever their folders.
        name = "workspace" if fields(LightRAG, workspace="") else "namespace_prefix"
        values = {name: tmp_path.name, "enable_llm_cache": False, **SHORT, **options}
        if hasattr(utils, "Tokenizer"):
            values["tokenizer"] = utils.Tokenizer("o200k_base", get_encoding("o200k_base"))
        else:
            utils.ENCODER = get_encoding("o200k_base")
        rag = LightRAG(
            working_dir=str(tmp_path),
            llm_model_func=complete or model(server),
            llm_model_name="gpt-4o-mini",
            embedding_func=utils.EmbeddingFunc(
                embedding_dim=server.dimensions, func=embed, **fields(utils.EmbeddingFunc, max_token_size=8192)
            ),
            **fields(LightRAG, **values),
        )
        await rag.initialize_storages()
        from lightrag.kg import shared_storage

        if hasattr(shared_storage, "initialize_pipeline_status"):
            await shared_storage.initialize_pipeline_status()
        made.append(rag)
        return rag

    yield make
    for rag in made:
        await rag.finalize_storages()
    if not fields(LightRAG, workspace=""):  # its locks belong to the process, and to the loop that used them first
        from lightrag.kg import shared_storage

        shared_storage.finalize_share_data()


@pytest.fixture(autouse=True)
def nothing_goes_wrong():
    errors = ragmeter.health()["errors"]
    yield
    assert ragmeter.health()["errors"] == errors


async def ask(rag, question, mode="naive", **options):
    param = QueryParam(mode=mode, **fields(QueryParam, enable_rerank=False), **options)
    answer = await rag.aquery(question, param=param)
    return answer if isinstance(answer, str) else "".join([part async for part in answer])


def total(bills):
    return sum(bill.total_tokens for bill in bills)


def spent(parts):
    return sum(part.usage.total_tokens or 0 for part in parts)


async def test_the_meter_equals_the_bill_to_the_token(server, make):
    rag = await make()
    unattributed = ragmeter.health()["unattributed"]
    tracker = TokenTracker()
    async with track_lightrag_operations(rag, tracker) as tracked:
        await tracked.ainsert(list(TEXTS.values()), file_paths=list(TEXTS))
        run = ragmeter.current_run()

    billed = server.totals()
    usage = tracker.get_usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["call_count"]) == (
        billed.prompt_tokens, billed.completion_tokens, billed.model_calls,
    )  # fmt: skip
    assert (usage["embedding_tokens"], usage["embedding_calls"]) == (billed.embedding_tokens, billed.embedding_calls)
    assert usage["origin"] == "reported"

    by_file = run.by("file_path")
    assert set(by_file) == set(TEXTS)
    assert spent(by_file.values()) == spent(run.by("document").values()) == total(server.bills)
    assert sum(part.calls for part in by_file.values()) == len(server.bills)
    assert len(run.by("document")) == len(TEXTS)
    status = await rag.doc_status.get_by_id(next(iter(run.by("document"))))
    assert set(run.by("track_id")) == {status.get("track_id")}

    by_role = run.by("file_path", "role")
    for name, marker in MARKER_OF.items():
        for role in ("extract", "glean"):
            bills = [bill for bill in server.bills_for(marker) if bill.role == role]
            assert bills
            assert (by_role[name, role].calls, by_role[name, role].usage.total_tokens) == (len(bills), total(bills))
    for role in ("extract", "glean", "summary", "embedding"):
        bills = [bill for bill in server.bills if bill.role == role]
        assert bills
        assert spent([run.by("role")[role]]) == total(bills)

    server.reset()
    asked = [("naive", False), ("local", True), ("global", False), ("hybrid", True), ("mix", False)]
    asked.append(("bypass" if "bypass" in MODES else "naive", True))

    async def one(number, mode, stream):
        with ragmeter.run() as run:
            await ask(tracked, f"What does Scrooge think of Christmas? MARK-q{number}", mode, stream=stream)
        return f"MARK-q{number}", run

    tracker.reset()
    for marker, run in await asyncio.gather(*(one(number, *how) for number, how in enumerate(asked))):
        bills = server.bills_for(marker)
        assert (run.calls, run.usage.total_tokens) == (len(bills), total(bills))
        roles = {"other": "query"}  # what a question past the graph is to the server
        if "bypass" in MODES:  # before, a naive answer looks like an extraction
            assert set(run.by("role")) == {roles.get(bill.role, bill.role) for bill in bills}
    billed, usage = server.totals(), tracker.get_usage()
    assert (usage["total_tokens"], usage["call_count"], usage["embedding_tokens"], usage["embedding_calls"]) == (
        billed.total_tokens, billed.model_calls, billed.embedding_tokens, billed.embedding_calls,
    )  # fmt: skip
    assert ragmeter.health()["unattributed"] == unattributed


def snapshot(rag):
    """Every object that ragmeter could have touched, by identity."""
    owners = {"rag": rag, "embedding": rag.embedding_func, **vars(rag)}
    owners |= {f"role {role}": state for role, state in getattr(rag, "_role_llm_states", {}).items()}
    owners |= {cls.__name__: cls for cls in (openai.OpenAI, openai.AsyncOpenAI, LightRAG)}
    owners |= {name: module for name, module in sys.modules.items() if name.split(".")[0] == "lightrag"}
    found = {
        (name, key): value
        for name, owner in owners.items()
        if isinstance(owner, type) or (hasattr(owner, "__dict__") and not callable(owner))
        for key, value in vars(owner).items()
    }
    return found | {("config", key): value for key, value in rag.llm_response_cache.global_config.items()}


async def test_afterwards_everything_is_the_very_object_that_it_was(server, make):
    rag = await make()
    before = snapshot(rag)
    install(rag)
    during = snapshot(rag)
    with ragmeter.run() as run:
        await rag.ainsert("Alice met the White Rabbit. The White Rabbit ran to London.")
        await ask(rag, "Say it plainly")
    uninstall(rag)
    ragmeter.uninstrument()
    after = snapshot(rag)
    touched = {key for key in before.keys() | during.keys() if before.get(key) is not during.get(key)}
    assert touched
    assert not {key for key in touched if before.get(key) is not after.get(key)}
    assert run.calls == len(server.bills)
    metered = len(server.bills)
    await ask(rag, "Say it plainly")
    assert run.calls == metered < len(server.bills)


async def test_who_enqueued_a_document_pays_for_it_whoever_processes_it(server, make):
    rag = await make()
    names = list(TEXTS)
    spending = {}

    async def insert(*mine):
        async with track_lightrag_operations(rag, wait=True) as tracked:
            await tracked.ainsert([TEXTS[name] for name in mine], file_paths=list(mine))
            spending[mine] = ragmeter.current_run()

    async def insert_meanwhile(*mine):
        while not server.bills:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.01)
        await insert(*mine)

    with ragmeter.run() as whole:
        await asyncio.gather(insert(*names[:2]), insert_meanwhile(*names[2:]))
    for mine, run in spending.items():
        assert set(run.by("file_path")) == set(mine)
        assert len(run.by("track_id")) == 1
        for name in mine:
            bills = [bill for bill in server.bills_for(MARKER_OF[name]) if bill.role in {"extract", "glean"}]
            found = run.by("file_path", "role")
            assert spent([found[name, "extract"], found[name, "glean"]]) == total(bills)
    assert spent([run.totals for run in spending.values()]) == spent([whole.totals]) == total(server.bills)


async def test_waiting_ends_in_time_and_names_what_is_under_way(server, make):
    rag = await make()
    tracker = TokenTracker()

    async def insert():
        async with track_lightrag_operations(rag, tracker, wait=True, timeout=0.2) as tracked:
            await tracked.apipeline_enqueue_documents("Alice met the White Rabbit.", file_paths="alice.txt")
            await ask(tracked, "Say it plainly", "bypass" if "bypass" in MODES else "naive")

    with pytest.raises(TimeoutError, match=r"1 documents are still under way after 0\.2 s: doc-[0-9a-f]+$"):
        await insert()  # nobody processes
    assert ragmeter.current_scope() is None
    before = tracker.get_usage()["call_count"]
    assert before == server.totals().model_calls
    async with track_lightrag_operations(rag) as tracked:
        await tracked.apipeline_process_enqueue_documents()
    assert tracker.get_usage()["call_count"] > before  # who enqueued it pays, late or not


async def test_waiting_needs_a_loop(make):
    rag = await make()
    with pytest.raises(ValueError, match="wait=True"):
        track_lightrag_operations(rag, timeout=5)
    with pytest.raises(TypeError, match="wait=True"):
        track_lightrag_operations(rag, wait=True).__enter__()


async def test_a_document_that_failed_says_which_attempt_at_it_a_call_was(server, make):
    ask_model, calls = model(server), []

    async def complete(prompt, **kwargs):
        answer = await ask_model(prompt, **kwargs)
        calls.append(answer)
        if len(calls) == 1:
            raise LookupError("mine")  # paid for, and of no use
        return answer

    rag = await make(complete)
    name = next(iter(TEXTS))
    with ragmeter.run(keep_calls=1000) as run:
        async with track_lightrag_operations(rag) as tracked:
            await tracked.ainsert(TEXTS[name], file_paths=name)
            if hasattr(rag, "apipeline_reset_failed_for_scan"):
                await rag.apipeline_reset_failed_for_scan("again")
            await tracked.apipeline_process_enqueue_documents()
    assert {(call.labels["file_path"], call.attempt) for call in run.calls_list()} == {(name, 1), (name, 2)}
    assert len(run.by("document")) == 1
    assert spent([run.totals]) == total(server.bills)


async def test_chunks_that_users_bring_belong_to_their_document(server, make):
    rag = await make()
    pieces = next(iter(TEXTS.values())).split(" MARK-0 ")[:3]
    with ragmeter.run() as run:
        async with track_lightrag_operations(rag) as tracked:
            await tracked.ainsert_custom_chunks("\n\n".join(pieces), pieces, "my-document")
            assert "document" not in ragmeter.current_scope().labels
    assert set(run.by("document")) == {"my-document"}
    assert set(run.by("role")) >= {"extract", "embedding"}
    assert spent([run.totals]) == total(server.bills) > 0


async def test_what_is_rebuilt_without_a_document_is_paid_by_it(server, make):
    rag = await make(enable_llm_cache=True)
    names = list(TEXTS)
    tracker = TokenTracker()
    tracked = TokenTrackingLightRAG(rag, tracker)
    await tracked.ainsert([TEXTS[name] for name in names], file_paths=names)
    gone = next(document for document, file_path in tracker.by("document", "file_path") if file_path == names[0])
    server.reset()
    tracker.reset()
    await tracked.adelete_by_doc_id(gone)
    assert server.bills
    assert set(tracker.by("document")) == {gone}
    assert set(tracker.by("file_path")) == {names[0]}
    assert spent([tracker.run.totals]) == total(server.bills)


if fields(QueryParam, model_func=None):  # not every release has it

    async def test_a_model_function_that_a_question_brings_is_metered(server, make):
        rag = await make()
        await rag.ainsert(TEXTS["alice-in-wonderland.txt"])
        server.reset()
        tracked = TokenTrackingLightRAG(rag)
        ask_model = model(server)

        async def own(prompt, _priority=None, **kwargs):
            return await ask_model(prompt, **kwargs)

        for mode in ("mix", "bypass"):
            await ask(tracked, "Whom did Alice follow?", mode, model_func=own)
        assert set(tracked.get_token_tracker().by("role")) == {"keyword", "embedding", "query"}
        usage = tracked.get_token_tracker().get_usage()
        assert (usage["total_tokens"], usage["call_count"]) == (
            server.totals().total_tokens,
            server.totals().model_calls,
        )


async def test_what_the_cache_spares_is_told_per_run_role_and_document(server, make):
    ask_model, failing = model(server), [True]

    async def complete(prompt, **kwargs):
        answer = await ask_model(prompt, **kwargs)
        if failing and kwargs.get("history_messages"):
            failing.clear()
            raise LookupError("mine")
        return answer

    rag = await make(complete, enable_llm_cache=True)
    name = next(iter(TEXTS))
    tracker = TokenTracker()
    tracked = TokenTrackingLightRAG(rag, tracker)
    await tracked.ainsert(TEXTS[name], file_paths=name)
    assert tracker.get_usage()["cache_hits"] == tracker.get_usage()["saved_tokens"] == 0
    cached = [bill for bill in server.bills if bill.role == "extract"]
    gleaned = [bill for bill in server.bills if bill.role == "glean"]

    if hasattr(rag, "apipeline_reset_failed_for_scan"):
        await rag.apipeline_reset_failed_for_scan("again")
    with ragmeter.run() as run:
        await tracked.apipeline_process_enqueue_documents()
    found = run.by("file_path", "role")
    extracted = found[name, "extract"]
    assert (extracted.cache_hits, extracted.saved_tokens) == (len(cached), total(cached))
    assert extracted.estimated_cache_hits == 0
    # Of the pieces that were gleaned side by side, those that had come to their end were kept.
    assert found[name, "glean"].saved_tokens in {0, *(bill.total_tokens for bill in gleaned)}
    assert extracted.calls == 0

    question = "What does Scrooge think of Christmas?"
    server.reset()
    await ask(tracked, question, "mix")
    paid = [bill for bill in server.bills if bill.role in {"keyword", "query"}]
    tracker.reset()
    server.reset()
    await ask(tracked, question, "mix")
    usage = tracker.get_usage()
    spared = {role: part.saved_tokens for role, part in tracker.by("role").items() if part.cache_hits}
    assert "query" in spared  # until 1.4.6 that spares the search for the keywords as well
    assert spared == {bill.role: bill.total_tokens for bill in paid if bill.role in spared}
    assert (usage["cache_hits"], usage["saved_tokens"]) == (len(spared), sum(spared.values()))
    assert usage["call_count"] == server.totals().model_calls == 0
    assert usage["embedding_tokens"] == server.totals().embedding_tokens


if hasattr(LightRAG, "analyze_multimodal"):  # not every release has it

    async def test_what_is_shown_in_a_document_is_analysed_at_its_cost(server, make, tmp_path):
        rag = await make()
        blocks = tmp_path / "doc.blocks.jsonl"
        blocks.write_text(json.dumps({"type": "meta"}) + "\n")
        table = {"content": [["Name", "Partner"], ["Scrooge", "Marley"]], "format": "json"}
        (tmp_path / "doc.tables.json").write_text(json.dumps({"tables": {"tb-1": table}}))
        with ragmeter.run() as run:
            async with track_lightrag_operations(rag):
                await rag.analyze_multimodal("doc-1", "a.pdf", {"blocks_path": str(blocks)}, process_options="t")
        assert server.bills
        assert set(run.by("document", "file_path")) == {("doc-1", "a.pdf")}
        assert spent([run.totals]) == total(server.bills)


GRAPH = {
    "chunks": [{"content": "Scrooge and Marley were partners.", "source_id": "s1", "file_path": "own.txt"}],
    "entities": [
        {"entity_name": name, "entity_type": "person", "description": f"{name} had a firm.", "source_id": "s1"}
        for name in ("Scrooge", "Marley")
    ],
    "relationships": [
        {
            "src_id": "Scrooge", "tgt_id": "Marley", "description": "They were partners.", "keywords": "firm",
            "weight": 1.0, "source_id": "s1",
        }
    ],
}  # fmt: skip


async def test_every_operation_is_a_run_of_its_own_that_costs_what_was_billed(server, make):
    rag = await make()
    tracker = TokenTracker()
    tracked = TokenTrackingLightRAG(rag, tracker)
    question = ("Who was Marley?", QueryParam(mode="mix", **fields(QueryParam, enable_rerank=False)))
    operations = [
        ("ainsert_custom_kg", GRAPH),
        ("aquery_data", *question),
        ("aquery_llm", *question),
        ("acreate_entity", "Cratchit", {"description": "A clerk.", "entity_type": "person"}),
        ("acreate_relation", "Cratchit", "Scrooge", {"description": "He works for him.", "keywords": "work"}),
        ("aedit_entity", "Cratchit", {"description": "A poor clerk."}),
        ("aedit_relation", "Cratchit", "Scrooge", {"description": "He writes for him."}),
        ("amerge_entities", ["Cratchit", "Marley"], "Scrooge"),
        ("adelete_by_entity", "Scrooge"),
        ("apipeline_enqueue_documents", "Alice met the White Rabbit."),
        ("apipeline_process_enqueue_documents",),
    ]
    costly = set()
    for name, *arguments in operations:
        if not hasattr(rag, name):
            continue
        if name != "apipeline_process_enqueue_documents":  # the documents are paid by who enqueued them
            server.reset()
            tracker.reset()
        await getattr(tracked, name)(*arguments)
        billed, usage = server.totals(), tracker.get_usage()
        assert (usage["total_tokens"], usage["embedding_tokens"], usage["call_count"], usage["embedding_calls"]) == (
            billed.total_tokens, billed.embedding_tokens, billed.model_calls, billed.embedding_calls,
        ), name  # fmt: skip
        if server.bills:
            costly.add(name)
    assert costly >= {"ainsert_custom_kg", "acreate_entity", "aedit_entity", "amerge_entities"}
    assert ragmeter.current_scope() is None
