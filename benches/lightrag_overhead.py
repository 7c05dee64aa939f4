"""What metering adds to a LightRAG operation when the model answers at once: the worst case, as real ones take seconds.

Metered and unmetered run in turns, each pair on the same LightRAG; the median of the ratios of the pairs counts. The
LightRAG is as it comes, with tiktoken for its tokenizer. `fast` as an argument gives it ragmeter's in its place: then
its operations are quicker, and what metering adds weighs more.
"""

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import parity

from ragmeter.lightrag import TokenTrackingLightRAG
from ragmeter.testing import documents

QUESTIONS, INGESTS = 150, 100


async def embed(texts):
    return np.ones((len(texts), 64), dtype=np.float32)


def lightrag(folder, **options):
    from lightrag import LightRAG
    from lightrag.prompt import PROMPTS
    from lightrag.utils import EmbeddingFunc

    fields = ['"entity"', "Scrooge", "Person", "A covetous old sinner."]
    record = PROMPTS["DEFAULT_TUPLE_DELIMITER"].join(fields)
    if "DEFAULT_RECORD_DELIMITER" in PROMPTS:  # releases up to 1.4.8
        text = f"({record}){PROMPTS['DEFAULT_RECORD_DELIMITER']}<|COMPLETE|>"
    else:
        text = f"{record.replace(chr(34), '')}\n<|COMPLETE|>"

    keywords = '{"high_level_keywords": ["money"], "low_level_keywords": ["Scrooge"]}'

    async def complete(prompt, system_prompt=None, history_messages=(), **kwargs):
        return keywords if "low_level_keywords" in prompt else text

    return LightRAG(
        working_dir=folder,
        llm_model_func=complete,
        embedding_func=EmbeddingFunc(embedding_dim=64, max_token_size=8192, func=embed),
        enable_llm_cache=False,
        enable_llm_cache_for_entity_extract=False,
        **options,
    )


def fast():
    """Options that give a LightRAG ragmeter's encoding for its tokenizer."""
    from lightrag.utils import Tokenizer

    from ragmeter.tokens import get_encoding

    return {"tokenizer": Tokenizer("o200k_base", get_encoding("o200k_base"))}


async def pairs(plain, metered, operation, numbers):
    """Ratios of metered to unmetered time, the two taking turns at going first."""
    ratios = []
    for number in numbers:
        times = {}
        for rag in (plain, metered) if number % 2 else (metered, plain):
            began = time.perf_counter()
            await operation(rag, f"{number} {rag is plain}")
            times[rag is plain] = time.perf_counter() - began
        ratios.append(times[False] / times[True])
    return ratios, times[True]


async def main():
    from lightrag import QueryParam
    from lightrag.kg.shared_storage import initialize_pipeline_status

    logging.disable(logging.WARNING)
    alone = {"enable_rerank": False} if hasattr(QueryParam, "enable_rerank") else {}
    text = documents()["alice-in-wonderland.txt"]
    with tempfile.TemporaryDirectory() as vocabularies, tempfile.TemporaryDirectory() as folder:
        parity.oracle(Path(vocabularies))  # tiktoken would fetch them
        plain = lightrag(folder, **(fast() if "fast" in sys.argv[1:] else {}))
        await plain.initialize_storages()
        await initialize_pipeline_status()  # releases up to 1.4 leave it to the user
        await plain.ainsert(list(documents().values()))
        metered = TokenTrackingLightRAG(plain)
        operations = {
            "query, naive": (
                lambda rag, n: rag.aquery(f"Who? {n}", QueryParam(mode="naive", **alone)),
                QUESTIONS,
            ),
            "query, mix": (
                lambda rag, n: rag.aquery(f"Who? {n}", QueryParam(mode="mix", **alone)),
                QUESTIONS,
            ),
            "ingest, 5 KB": (lambda rag, n: rag.ainsert(f"{n} {text}"), INGESTS),
        }
        print(f"LightRAG {version('lightrag-hku')}, median of pairs, model function without latency")
        for name, (operation, count) in operations.items():
            await pairs(plain, metered, operation, range(5))
            ratios, seconds = await pairs(plain, metered, operation, range(5, 5 + count))
            print(f"  {name:14} {seconds * 1e3:7.1f} ms unmetered   {(statistics.median(ratios) - 1) * 100:+5.1f} %")
        await plain.finalize_storages()


if __name__ == "__main__":
    asyncio.run(main())
