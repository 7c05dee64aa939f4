"""Every fault of a provider, met by a real LightRAG and the real SDK: what was reported is metered exactly, and what is
estimated differs by no more than 5 % from the bill, which tiktoken counts.
"""

import codecs
import os

import pytest
import tenacity
from lightrag import LightRAG, QueryParam
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.utils import EmbeddingFunc, Tokenizer

import ragmeter
from ragmeter.lightrag import TokenTrackingLightRAG
from ragmeter.testing import BAD_USAGES, Fault, StubServer, documents
from ragmeter.tokens import get_encoding

TEXTS = documents()
STORY = TEXTS["alice-in-wonderland.txt"]
QUESTION = f"Tell me this again, in your own words – and in German (»auf Deutsch«) as well:\n\n{STORY[:3000]}"
ANSWER = f"{STORY[1000:2500]}\n\nUnd nun: ›Wie merkwürdig!‹ rief Alice – 🐇 – und lief hinterher. 三月兔\n" * 2
ALLOWED = 0.05


@pytest.fixture(scope="module")
def stub_server(tiktoken_files):
    """A server that counts as OpenAI does, by a tokenizer which is not ragmeter's."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_files)
    import tiktoken

    def tokenizer(text, model):
        encoding = tiktoken.encoding_for_model(model)
        decoder = codecs.getincrementaldecoder("utf-8")()
        return [decoder.decode(encoding.decode_single_token_bytes(token)) for token in encoding.encode_ordinary(text)]

    def answer(prompt):
        return ANSWER if prompt.role == "other" else None

    # No reasoning: what a model thinks and neither shows nor reports, nobody can estimate.
    with StubServer(tokenizer=tokenizer, answer=answer, reasoning=0) as server:
        yield server


@pytest.fixture
async def rag(server, tmp_path, monkeypatch):
    monkeypatch.setattr(openai_complete_if_cache.retry, "wait", tenacity.wait_none())
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
    )
    await rag.initialize_storages()
    errors = ragmeter.health()["errors"]
    yield rag
    await rag.finalize_storages()
    ragmeter.uninstrument()
    assert ragmeter.health()["errors"] == errors


async def read(answer, most=None):
    """Read an answer, or so many of its pieces."""
    if isinstance(answer, str):
        return
    async for _ in answer:
        most = None if most is None else most - 1
        if most == 0:
            break
    await answer.aclose()


def assert_metered(calls, bills):
    """What was reported is exact, what was estimated near, the rest is said to be unknown."""
    for call, bill in zip(calls, bills, strict=True):
        counted = (call.usage.input_tokens, call.usage.output_tokens or 0)
        billed = (bill.prompt_tokens, bill.completion_tokens)
        if call.usage.origin == "reported":
            assert counted == billed
        elif call.usage.origin == "estimated":
            for count, truth in zip(counted, billed, strict=True):
                assert abs(count - truth) <= ALLOWED * truth, (counted, billed)
        else:
            assert (call.usage.origin, call.usage.total_tokens) == ("unknown", None)


REPORTED, ESTIMATED, UNKNOWN = "reported", "estimated", "unknown"
CASES = [
    # fault, its options, what is metered of a plain answer, and of a streamed one: a call for each bill
    (None, {}, [REPORTED], [REPORTED]),
    (Fault.RATE_LIMIT, {}, [REPORTED], [REPORTED]),
    (Fault.SERVER_ERROR, {}, [REPORTED], [REPORTED]),
    (Fault.REJECT_STREAM_OPTIONS, {}, [REPORTED], [ESTIMATED]),
    (Fault.TRUNCATED, {}, [REPORTED], [REPORTED]),
    (Fault.EMPTY, {}, [REPORTED, REPORTED], [REPORTED]),  # LightRAG asks again
    (Fault.SLOW, {"delay": 0.05, "pause": 0}, [REPORTED], [REPORTED]),
    (Fault.USAGE_ON_FINISH, {}, [REPORTED], [REPORTED]),
    (Fault.USAGE_EVERY_CHUNK, {}, [REPORTED], [REPORTED]),
    (Fault.NO_USAGE, {}, [ESTIMATED], [ESTIMATED]),
    (Fault.NULL_USAGE, {}, [ESTIMATED], [ESTIMATED]),
    *((Fault.BAD_USAGE, {"usage": BAD_USAGES[name]}, [ESTIMATED], [ESTIMATED]) for name in ("text", "nulls", "list")),
    (
        Fault.CUT,
        {"after": 60, "pause": 0.5},
        [UNKNOWN, REPORTED],
        [ESTIMATED],
    ),  # no text came of the plain one; it is asked again
    (Fault.STALL, {"after": 60}, [REPORTED], [ESTIMATED]),  # its reader leaves
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].value if case[0] else "none")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_every_fault_of_an_answer(server, rag, case, stream):
    fault, options, plain, streamed = case
    if fault is not None:
        server.faults.add(fault, **options)
    tracked = TokenTrackingLightRAG(rag)
    with ragmeter.run(keep_calls=10) as run:
        try:
            answer = await tracked.aquery(QUESTION, QueryParam(mode="bypass", stream=stream))
            await read(answer, most=59 if fault is Fault.STALL else None)
        except Exception:  # noqa: BLE001 - LightRAG raises what it likes
            assert fault is Fault.CUT
    calls = run.calls_list()
    assert [call.usage.origin for call in calls] == (streamed if stream else plain)
    assert_metered(calls, server.bills)
    usage = tracked.get_token_tracker().get_usage()
    assert usage["origin"] == ("reported" if run.totals.reported_calls == run.calls else "partly_estimated")
    assert usage["estimated_calls"] == run.totals.estimated_calls
    assert usage["unknown_calls"] == run.totals.unknown_calls


@pytest.mark.parametrize("fault", [Fault.NO_USAGE, Fault.NULL_USAGE])
async def test_an_ingest_without_usage_is_estimated_whole(server, rag, fault):
    server.faults.add(fault, times=None)
    tracked = TokenTrackingLightRAG(rag)
    with ragmeter.run() as run:
        await tracked.ainsert(STORY, file_paths="alice.txt")
    billed, usage = server.totals(), tracked.get_token_tracker().get_usage()
    assert run.totals.estimated_calls == run.calls == len(server.bills) > 5
    for name in ("prompt_tokens", "completion_tokens", "embedding_tokens"):
        assert abs(usage[name] - getattr(billed, name)) <= ALLOWED * getattr(billed, name)
