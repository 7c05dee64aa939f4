"""Rerankers that do not speak as Jina's does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing import rerank
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


class Ali(Dialect):
    """DashScope's `text-rerank`."""

    PATHS = {"/api/v1/services/rerank/text-rerank/text-rerank": "rerank"}  # noqa: RUF012

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The request in Jina's shape."""
        return {"model": body.get("model"), **(body.get("input") or {}), **(body.get("parameters") or {})}

    def rerank(self, call: Call, found: list[str]) -> Any:
        """The ranking one level down, and a total."""
        results = super().rerank(call, found)["results"]
        usage = call.report({"total_tokens": rerank.tokens(call, found)})
        return {"output": {"results": results}, **usage, "request_id": call.id}
