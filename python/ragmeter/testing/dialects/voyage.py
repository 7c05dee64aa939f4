"""Voyage AI: embeddings and reranking, with nothing but a total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing import embeddings, rerank
from ragmeter.testing.dialects.dialect import Dialect

if TYPE_CHECKING:
    from ragmeter.testing.call import Call


class Voyage(Dialect):
    """`/voyage/v1/embeddings` and `/voyage/v1/rerank`; the real paths are OpenAI's and Jina's."""

    PATHS = {"/voyage/v1/embeddings": "embeddings", "/voyage/v1/rerank": "rerank"}  # noqa: RUF012

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The request in OpenAI's shape."""
        return {**body, "dimensions": body.get("output_dimension"), "top_n": body.get("top_k")}

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """Vectors, in base64 if that was asked for."""
        return {**super().embed(call, found, dimensions), **_total(call, embeddings.tokens(call, found))}

    def rerank(self, call: Call, found: list[str]) -> Any:
        """The documents under a name of its own."""
        ranked = super().rerank(call, found)
        ranked["data"] = ranked.pop("results")
        return {**ranked, **_total(call, rerank.tokens(call, found))}


def _total(call: Call, tokens: int) -> dict[str, Any]:
    return call.report({"total_tokens": tokens})
