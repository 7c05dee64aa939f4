"""The real RAG-Anything, whose parsers stay at home: what it inserts and what it is asked costs what was billed.

Needs `raganything` and a LightRAG older than 1.5 on the path: `make test` has them.
"""

import atexit
import base64

import pytest
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.utils import EmbeddingFunc, Tokenizer
from raganything import RAGAnything, RAGAnythingConfig

import ragmeter
from ragmeter.lightrag import TokenTrackingLightRAG, install, uninstall
from ragmeter.testing import Totals, documents
from ragmeter.tokens import get_encoding

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def make(server, folder):
    access = {"base_url": server.base_url, "api_key": "any"}

    # As in RAG-Anything's own examples: plain functions that return what is to be awaited.
    def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        return openai_complete_if_cache(
            "gpt-4o-mini", prompt, system_prompt, list(history_messages), **access, **kwargs
        )

    def see(prompt, system_prompt=None, history_messages=(), image_data=None, messages=None, **kwargs):
        if messages is None and image_data is None:
            return complete(prompt, system_prompt, history_messages, **kwargs)
        if messages is None:
            picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image_data}"}}
            messages = [{"role": "user", "content": [{"type": "text", "text": prompt}, picture]}]
        return openai_complete_if_cache("gpt-4o", "", messages=messages, **access, **kwargs)

    async def embed(texts):
        return await openai_embed.func(texts, model="text-embedding-3-small", **access)

    rag = RAGAnything(
        config=RAGAnythingConfig(working_dir=str(folder / "rag")),
        llm_model_func=complete,
        vision_model_func=see,
        embedding_func=EmbeddingFunc(embedding_dim=server.dimensions, func=embed),
        lightrag_kwargs={
            "workspace": folder.name,
            "tokenizer": Tokenizer("o200k_base", get_encoding("o200k_base")),
            "enable_llm_cache": False,
        },
    )
    atexit.unregister(rag.close)
    rag._parser_installation_checked = True  # nothing is parsed here
    return rag


def contents(folder):
    picture = folder / "rag" / "picture.png"  # elsewhere it may not be looked at
    picture.parent.mkdir(exist_ok=True)
    picture.write_bytes(PICTURE)
    name, text = next(iter(documents().items()))
    table = "| who | partner |\n|---|---|\n| Scrooge | Marley |"
    return name, [
        {"type": "text", "text": text, "page_idx": 0},
        {"type": "image", "img_path": str(picture), "image_caption": ["Scrooge's door"], "page_idx": 1},
        {"type": "table", "table_body": table, "table_caption": ["Partners"], "page_idx": 1},
        {"type": "equation", "latex": "1 + 1 = 2", "text": "a sum", "page_idx": 2},
    ]


def difference(usage, billed):
    return (
        billed.prompt_tokens - usage["prompt_tokens"],
        billed.completion_tokens - usage["completion_tokens"],
        billed.embedding_tokens - usage["embedding_tokens"],
        billed.model_calls - usage["call_count"],
        billed.embedding_calls - usage["embedding_calls"],
    )


async def test_everything_is_counted_by_role_and_document(server, tmp_path):
    rag = TokenTrackingLightRAG(make(server, tmp_path))
    name, items = contents(tmp_path)
    await rag.insert_content_list(items, file_path=name, doc_id="doc-carol")
    tracker = rag.get_token_tracker()
    assert difference(tracker.get_usage(), server.totals()) == (0, 0, 0, 0, 0)
    assert tracker.get_usage()["origin"] == "reported"
    roles = tracker.by("role")
    assert roles["vlm"].calls == sum(bill.role == "vlm" for bill in server.bills) == 1
    assert roles["analysis"].calls == 2
    assert set(tracker.by("document")) == {"doc-carol"}
    assert set(tracker.by("file_path")) == {name}
    (track_id,) = tracker.by("track_id")
    assert track_id

    tracker.reset()
    server.reset()
    await rag.aquery("Who is Scrooge?", mode="mix", enable_rerank=False)
    await rag.aquery("Who is Marley?", mode="mix", enable_rerank=False, vlm_enhanced=False)
    told = {"type": "table", "table_data": "a,b\n1,2", "table_caption": "Numbers"}
    await rag.aquery_with_multimodal("What do the numbers say?", [told], mode="mix", enable_rerank=False)
    assert difference(tracker.get_usage(), server.totals()) == (0, 0, 0, 0, 0)
    assert set(tracker.by("document")) == {None}
    assert any(bill.role == "vlm" for bill in server.bills)  # a question about the picture
    assert tracker.by("role")["query"].calls == Totals.of(b for b in server.bills if b.role in {"query", "vlm"}).calls
    await rag.finalize_storages()


async def test_a_vision_function_that_asks_the_lightrag_is_counted_once(server, tmp_path):
    rag = make(server, tmp_path)

    async def see(prompt, system_prompt=None, **kwargs):
        return await rag.lightrag.llm_model_func(prompt, system_prompt=system_prompt)

    rag.vision_model_func = see
    install(rag)
    await rag._ensure_lightrag_initialized()
    with ragmeter.run() as run:
        await rag.modal_processors["image"].modal_caption_func("What is this?")
    uninstall(rag)
    assert (run.calls, run.totals.reported_calls) == (1, 1) == (len(server.bills), 1)
    assert run.usage.total_tokens == server.totals().total_tokens
    await rag.finalize_storages()


def everything(rag):
    """Every attribute of what the hooks touch, by identity."""
    places = {"rag": vars(rag), "lightrag": vars(rag.lightrag)}
    for name, processor in rag.modal_processors.items():
        places[name] = vars(processor)
        places[f"{name} config"] = {"llm_model_func": processor.global_config["llm_model_func"]}
    return {(place, name): id(value) for place, names in places.items() for name, value in names.items()}


@pytest.mark.parametrize("when", ["before it starts", "after it has started"])
async def test_afterwards_it_is_what_it_was(server, tmp_path, when):
    rag, plain = make(server, tmp_path / "a"), make(server, tmp_path / "b")
    own = (rag.llm_model_func, rag.vision_model_func)
    if when == "after it has started":
        await rag._ensure_lightrag_initialized()
        before = everything(rag)
    install(rag)
    install(rag)
    await rag._ensure_lightrag_initialized()
    assert rag.modal_processors["image"].modal_caption_func is not own[1]
    uninstall(rag)
    uninstall(rag)
    assert (rag.llm_model_func, rag.vision_model_func) == own
    assert rag.modal_processors["image"].modal_caption_func is own[1]
    assert rag.modal_processors["table"].modal_caption_func is own[0]
    assert rag.modal_processors["table"].global_config["llm_model_func"] is rag.lightrag.llm_model_func
    if when == "after it has started":
        assert everything(rag) == before
    await plain._ensure_lightrag_initialized()
    assert set(vars(rag)) == set(vars(plain))
    for each in (rag, plain):
        await each.finalize_storages()
