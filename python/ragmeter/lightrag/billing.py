"""Billing: the usage of finished LightRAG operations goes to the backend that is configured, if one is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ragmeter.export.webhook import deliver, is_configured
from ragmeter.lightrag.metering import documents_of
from ragmeter.lightrag.tracker import metrics, metrics_of
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ragmeter._native import Run

__all__ = ["bill", "bill_after", "bill_upload"]


def bill(run: Run, name: str) -> None:
    """Send the usage of an operation that is over. Never raises.

    What was spent for uploads is told apart by their track ids; the rest is sent under the id of the run.
    """
    if not (is_configured() and run.calls):
        return
    with guard("sending usage of LightRAG"):
        if "query" in name:
            deliver(run.id, metrics(run), "query")
            return
        uploads: dict[str | None, dict[Any, Any]] = {}
        for (track_id, *kind), totals in run.by("track_id", "operation", "model").items():
            uploads.setdefault(track_id, {})[tuple(kind)] = totals
        for track_id, by_kind in uploads.items():
            deliver(track_id or run.id, metrics_of(by_kind), "upload")


def bill_upload(track_id: str, found: dict[str, Any]) -> None:
    """Send the metrics object of an upload. Never raises."""
    if is_configured():
        with guard("sending usage of LightRAG"):
            deliver(track_id, found, "upload")


def bill_after(answer: Any, run: Run, name: str, rag: Any) -> Any:
    """Send the usage of an operation of `rag` when it is over; returns the answer.

    That is now, or when the stream that it answered with ends, or when the documents are done that it enqueued.
    """
    if not is_configured():
        return answer
    with guard("sending usage of LightRAG"):
        if hasattr(answer, "__aiter__"):
            return _streamed(answer, run, name)
        inner = answer.get("llm_response") if isinstance(answer, dict) else None
        if isinstance(inner, dict) and hasattr(inner.get("response_iterator"), "__aiter__"):
            inner["response_iterator"] = _streamed(inner["response_iterator"], run, name)
            return answer
        documents = documents_of(rag)
        if documents is None:
            bill(run, name)
        else:
            documents.when_over(run, functools.partial(bill, run, name))
    return answer


async def _streamed(stream: Any, run: Run, name: str) -> AsyncIterator[Any]:
    try:
        async for piece in stream:
            yield piece
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
        bill(run, name)
