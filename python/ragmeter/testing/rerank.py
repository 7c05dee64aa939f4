"""Reranking in the shape of Jina's API: what it costs, and the shape of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ragmeter.testing.fault import Fault
from ragmeter.testing.refusal import RefusedError, whole
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from ragmeter.testing.call import Call

DIMENSIONS = 256


def texts(body: Mapping[str, Any]) -> list[str]:
    """The query and, after it, the documents.

    Raises:
        RefusedError: 400 where one of them is missing.
    """
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not query:
        raise RefusedError.missing("query")
    if not isinstance(documents, list) or not documents:
        raise RefusedError.missing("documents")
    return [query, *(str(one.get("text", "")) if isinstance(one, Mapping) else str(one) for one in documents)]


def tokens(call: Call, found: list[str]) -> int:
    """What they cost: the query once for each document, and every document."""
    query, *documents = found
    return call.count(query) * len(documents) + sum(call.count(text) for text in documents)


def plain(call: Call, found: list[str]) -> dict[str, Any]:
    """The body of the answer: the documents nearest to the query first."""
    query, *documents = found
    wanted = embed(query, DIMENSIONS)
    scores = [sum(a * b for a, b in zip(wanted, embed(text, DIMENSIONS), strict=True)) for text in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: whole(call.body, "top_n")]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": (scores[index] + 1) / 2} for index in order]
    if call.body.get("return_documents", True):
        for result in results:
            result["document"] = {"text": documents[result["index"]]}
    cost = tokens(call, found)
    answer = {"model": call.model, "object": "list", "results": [] if call.fault is Fault.EMPTY else results}
    return {**answer, **call.report({"total_tokens": cost, "prompt_tokens": cost})}
