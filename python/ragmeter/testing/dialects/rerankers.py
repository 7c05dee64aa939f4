"""Rerankers that do not speak as Jina's does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.dialects.dialect import Dialect

if TYPE_CHECKING:
    from ragmeter.testing.call import Call


class Cohere(Dialect):
    """`/v2/rerank`: it bills searches, not tokens, and says nothing of those."""

    PATHS = {"/v2/rerank": "rerank"}  # noqa: RUF012

    def rerank(self, call: Call, found: list[str]) -> Any:
        """The ranking, with what was billed."""
        billed = {"billed_units": {"search_units": 1}} if call.honest else {}
        results = super().rerank(call, found)["results"]
        return {"id": call.id, "results": results, "meta": {"api_version": {"version": "2"}, **billed}}
