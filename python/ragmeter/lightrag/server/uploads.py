"""Uploads: hears when the documents of a LightRAG are done, whichever process worked on them.

Before a document is seen to be done, what it cost is in the ledger; so whoever then reads the ledger, in this process
or another, reads the whole of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter.ledger import current_ledger
from ragmeter.lightrag.billing import bill_upload
from ragmeter.lightrag.metering import documents_of
from ragmeter.lightrag.server.numbers import log, of_upload
from ragmeter.lightrag.server.payers import Payers
from ragmeter.meter import guard, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter.observe.patch import Patches

__all__ = ["DONE", "plan"]

DONE = ("processed", "failed")
"""States of a document that nobody works on any more."""

_FLUSH = 2.0
"""Seconds that a document waits at most for the ledger."""

_REMEMBERED = 10_000
"""Uploads of which it is remembered that they were told of."""


def plan(rag: Any, patches: Patches) -> None:
    """Plan to hear of the documents of `rag`, which is metered. Releases before 1.4.6 know no uploads."""
    storage, documents = rag.doc_status, documents_of(rag)
    if documents is None or not hasattr(storage, "get_docs_by_track_id"):
        logger.warning("ragmeter: this release of LightRAG has no track ids; documents are in the ledger by their own")
        return
    payers = Payers(Path(rag.working_dir) / "ragmeter-payers")
    documents.elsewhere = payers.find
    patches.plan(storage, "upsert", _upsert(storage, storage.upsert, payers))


def _upsert(storage: Any, own: Callable[..., Awaitable[Any]], payers: Payers) -> Callable[..., Awaitable[Any]]:
    told: dict[str, int] = {}

    # No coroutine function: what `own` puts in force when it is called must be in force for the caller.
    def upsert(data: dict[str, dict[str, Any]], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        with guard("noting who pays for documents"):
            for document, row in data.items():
                if _state(row.get("status")) == "pending":
                    payers.note(document)
        writing = own(data, *args, **kwargs)
        with guard("noting that documents are done"):
            if done := {document: row for document, row in data.items() if _state(row.get("status")) in DONE}:
                return _settled(writing, done)
        return writing

    async def _settled(writing: Awaitable[Any], done: dict[str, dict[str, Any]]) -> Any:
        with guard("writing what documents cost"):
            if (ledger := current_ledger()) is not None:
                await ledger.aflush(_FLUSH)
        answer = await writing
        for document in done:
            payers.forget(document)
        for track_id in {row["track_id"] for row in done.values() if row.get("track_id")}:
            with guard("telling what an upload cost"):
                await _tell(storage, track_id, told)
        return answer

    return upsert


def _state(status: Any) -> str:
    return str(getattr(status, "value", status)).lower()


async def _tell(storage: Any, track_id: str, told: dict[str, int]) -> None:
    """Log and send what an upload cost, if it is done and was not told of with the same calls before."""
    ledger = current_ledger()
    documents = await storage.get_docs_by_track_id(track_id)
    if ledger is None or any(_state(document.status) not in DONE for document in documents.values()):
        return
    found, _ = await asyncio.to_thread(of_upload, ledger, track_id)
    calls = found["call_count"] + found["embedding_calls"] + found["rerank_calls"]
    if told.get(track_id, 0) == calls:
        return
    told[track_id] = calls
    if len(told) > _REMEMBERED:
        told.pop(next(iter(told)))
    log(f"upload {track_id}", found)
    bill_upload(track_id, found)
