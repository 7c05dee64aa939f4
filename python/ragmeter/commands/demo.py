"""`ragmeter demo`: a real LightRAG indexes real documents and answers questions, metered, and compared with the bill.

Without `OPENAI_API_KEY` the models are those of ragmeter's stub server on this machine, which knows what it billed.
With `OPENAI_API_KEY` and `OPENAI_BASE_URL` they are the real ones there, and there is no bill to compare with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from ragmeter import run as metered_run
from ragmeter.commands.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from ragmeter import Run, RunTotals
    from ragmeter.testing import StubServer

__all__ = ["add_arguments", "make_lightrag", "run"]

_QUESTIONS = [
    ("Who was Scrooge's partner, and what became of him?", "naive", False),
    ("What does the White Rabbit carry, and why does Alice follow it?", "local", True),
    ("How do the stories speak of time and of watches?", "global", False),
    ("Who is the woman that Sherlock Holmes always speaks of?", "hybrid", True),
    ("Which of the people in these stories is the most generous?", "mix", False),
    ("Say in one sentence what a counting-house is.", "bypass", True),
]
"""Question, mode of LightRAG, streamed or not. The last two are asked at the same time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if the meter and the bill differ."""
    try:
        import lightrag  # noqa: F401
        import openai  # noqa: F401
    except ImportError as exc:
        print(
            f"ragmeter demo needs LightRAG and the openai SDK ({exc}): pip install 'ragmeter[lightrag]'",
            file=sys.stderr,
        )
        return 2
    if os.environ.get("OPENAI_API_KEY") and os.environ.get("OPENAI_BASE_URL"):
        try:
            found = asyncio.run(_demo(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], None))
        except ConnectionError as exc:
            print(f"no answer from {exc}: are OPENAI_BASE_URL and OPENAI_API_KEY right?", file=sys.stderr)
            return 1
    else:
        from ragmeter.testing import StubServer

        with StubServer() as server:
            found = asyncio.run(_demo(server.base_url, "demo", server))
    print(json.dumps(found, indent=2) if arguments.json else _page(found))
    return 1 if any((found["difference"] or {}).values()) else 0


async def _demo(base_url: str, api_key: str, server: StubServer | None) -> dict[str, Any]:
    from lightrag import QueryParam

    from ragmeter.lightrag import TokenTracker, track_lightrag_operations
    from ragmeter.testing import documents

    logging.disable(logging.WARNING)  # what LightRAG and its HTTP client have to say would bury the progress
    tracker, texts = TokenTracker(), documents()
    with tempfile.TemporaryDirectory(prefix="ragmeter-demo-") as folder, metered_run("demo") as whole:
        rag = make_lightrag(folder, base_url, api_key, server.dimensions if server is not None else 256)
        await rag.initialize_storages()
        async with track_lightrag_operations(rag, tracker) as tracked, _progress(whole):
            _say(f"indexing {len(texts)} documents: {', '.join(texts)}")
            await tracked.ainsert(list(texts.values()), file_paths=list(texts))

            async def ask(question: str, mode: str, stream: bool) -> None:
                _say(f"asking ({mode}{', streamed' if stream else ''}): {question}")
                answer = await tracked.aquery(question, QueryParam(mode=mode, stream=stream, enable_rerank=False))
                if answer is None:  # what LightRAG makes of every error of a model
                    raise ConnectionError(base_url)
                if stream:
                    async for _ in answer:
                        pass

            for question in _QUESTIONS[:-2]:
                await ask(*question)
            await asyncio.gather(*(ask(*question) for question in _QUESTIONS[-2:]))
        await rag.finalize_storages()
    return _found(whole, tracker.get_usage(), server)


def make_lightrag(folder: str, base_url: str, api_key: str, dimensions: int) -> Any:
    """Make a LightRAG the way its users do; nothing of ragmeter's is in it but the tokenizer, which works offline."""
    from lightrag import LightRAG
    from lightrag.llm.openai import openai_complete_if_cache, openai_embed
    from lightrag.utils import EmbeddingFunc, Tokenizer

    from ragmeter.tokens import get_encoding

    model = os.environ.get("RAGMETER_DEMO_MODEL", "gpt-4o-mini")
    embedding_model = os.environ.get("RAGMETER_DEMO_EMBEDDING_MODEL", "text-embedding-3-small")

    async def complete(prompt: str, system_prompt: str | None = None, history_messages: Any = (), **kwargs: Any) -> Any:
        return await openai_complete_if_cache(
            model, prompt, system_prompt, list(history_messages), base_url=base_url, api_key=api_key, **kwargs
        )

    async def embed(texts: list[str]) -> Any:
        return await openai_embed.func(
            texts, model=embedding_model, embedding_dim=dimensions, base_url=base_url, api_key=api_key
        )

    return LightRAG(
        working_dir=folder,
        workspace=os.path.basename(folder),  # noqa: PTH119 - a name, not a path
        llm_model_func=complete,
        llm_model_name=model,
        embedding_func=EmbeddingFunc(embedding_dim=dimensions, func=embed, model_name=embedding_model),
        tokenizer=Tokenizer(model, get_encoding("o200k_base")),
        force_llm_summary_on_merge=3,  # three stories are short; so that descriptions are merged all the same
    )


def _say(text: str) -> None:
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def _progress(run: Run) -> AsyncIterator[None]:
    """Show how many calls and tokens it has been so far, where somebody watches."""

    async def show() -> None:
        while True:
            totals = run.totals
            line = f"  {totals.calls} calls, {totals.usage.total_tokens or 0:,} tokens"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(show()) if sys.stderr.isatty() else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _found(run: Run, usage: dict[str, Any], server: StubServer | None) -> dict[str, Any]:
    """Compare the meter with the bill."""
    metered = {
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "embedding_tokens": usage["embedding_tokens"],
        "calls": run.calls,
    }
    billed = None
    if server is not None:
        totals = server.totals()
        billed = {name: getattr(totals, name) for name in metered}
    return {
        "billed": billed,
        "metered": metered,
        "difference": {name: billed[name] - metered[name] for name in metered} if billed is not None else None,
        "by_role": _rows(run, "role"),
        "by_document": _rows(run, "file_path"),
        "calls": run.calls,
        "usage": usage,
    }


def _rows(run: Run, key: str) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {}
    for (label, operation), totals in run.by(key, "operation").items():
        row = rows.setdefault(
            label or "(questions)", {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "embedding_tokens": 0}
        )
        _add(row, totals, operation)
    return rows


def _add(row: dict[str, int], totals: RunTotals, operation: str | None) -> None:
    sent = "embedding_tokens" if operation == "embeddings" else "prompt_tokens"
    row["calls"] += totals.calls
    row[sent] += totals.usage.input_tokens or 0
    row["completion_tokens"] += totals.usage.output_tokens or 0


def _page(found: dict[str, Any]) -> str:
    from ragmeter.lightrag.tracker import langfuse_block

    head = ["", "calls", "prompt", "completion", "embedding"]
    parts = [
        table([title, *head[1:]], [[label, *row.values()] for label, row in found[key].items()])
        for title, key in (("role", "by_role"), ("document", "by_document"))
    ]
    parts.append(langfuse_block(found["usage"]))

    def figures(of: dict[str, int]) -> str:
        return (
            f"{of['prompt_tokens']:,} prompt + {of['completion_tokens']:,} completion + "
            f"{of['embedding_tokens']:,} embedding tokens in {of['calls']:,} calls"
        )

    if found["billed"] is None:
        parts.append(f"metered {figures(found['metered'])}")
    else:
        difference = sum(abs(count) for count in found["difference"].values())
        parts.append(
            f"billed {figures(found['billed'])} · metered {figures(found['metered'])} · difference {difference:,}"
        )
    return "\n\n".join(parts)
