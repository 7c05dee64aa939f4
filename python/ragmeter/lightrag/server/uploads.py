"""Uploads: hears when the documents of a LightRAG are done, whichever process worked on them.

Before a document is seen to be done, what it cost is in the ledger; so whoever then reads the ledger, in this process
or another, reads the whole of it. Where the ledger is out of reach the document does not wait for it long: it is done,
and said not to be all in the ledger until it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ragmeter.bounded import Bounded
from ragmeter.ledger import current_ledger
from ragmeter.lightrag.billing import bill_upload
from ragmeter.lightrag.metering import documents_of
from ragmeter.lightrag.server.numbers import log, of_upload
from ragmeter.lightrag.server.payers import payers_of
from ragmeter.meter import guard, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter.lightrag.server.payers import Payers
    from ragmeter.observe.patch import Patches

    _Rows = dict[str, dict[str, Any]]

__all__ = ["DONE", "plan"]

DONE = ("processed", "failed")
"""States of a document that nobody works on any more."""

_FLUSH = 2.0
"""Seconds that a document waits at most for the ledger."""

_AGAIN = 1.0
"""Seconds until a ledger that was out of reach is asked again."""

_REMEMBERED = 10_000
"""Uploads of which it is remembered that they were told of."""


def plan(rag: Any, patches: Patches) -> None:
    """Plan to hear of the documents of `rag`, which is metered. Releases before 1.4.6 know no uploads."""
    storage, documents = rag.doc_status, documents_of(rag)
    if documents is None or not hasattr(storage, "get_docs_by_track_id"):
        logger.warning("ragmeter: this release of LightRAG has no track ids; documents are in the ledger by their own")
        return
    uploads = _Uploads(storage, payers_of(rag))
    documents.elsewhere = uploads.payers.find
    patches.plan(storage, "upsert", uploads.upsert(storage.upsert))


class _Uploads:
    """What the status of its documents says of the uploads to one LightRAG."""

    def __init__(self, storage: Any, payers: Payers) -> None:
        self.payers = payers
        self._storage = storage
        self._told: dict[str, int] = Bounded(_REMEMBERED)
        self._late: _Rows = {}
        self._telling: asyncio.Task[None] | None = None

    def upsert(self, own: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Wrap the method that writes the status of documents."""

        # No coroutine function: what `own` puts in force when it is called must be in force for the caller.
        def upsert(data: _Rows, *args: Any, **kwargs: Any) -> Awaitable[Any]:
            with guard("noting who pays for documents"):
                for document, row in data.items():
                    if _state(row.get("status")) == "pending":
                        self.payers.note(document)
            writing = own(data, *args, **kwargs)
            with guard("noting that documents are done"):
                done = {document: row for document, row in data.items() if _state(row.get("status")) in DONE}
                if done:
                    return self._written(writing, done)
            return writing

        return upsert

    async def _written(self, writing: Awaitable[Any], done: _Rows) -> Any:
        """Write that documents are done when the ledger has what they cost, or has had its time."""
        kept = True
        with guard("writing what documents cost"):
            kept = await _kept()
            if not kept:
                self._wait(done)
        answer = await writing
        with guard("telling what an upload cost"):
            if kept:
                await self._over(done)
            else:
                self._late.update(done)
                if self._telling is None or self._telling.done():
                    self._telling = asyncio.create_task(self._tell_late())
        return answer

    async def _tell_late(self) -> None:
        """Tell of the documents that the ledger was out of reach for. One task asks for all: asking takes a thread."""
        while self._late:
            self._wait(self._late)
            await asyncio.sleep(_AGAIN)
            with guard("telling what an upload cost"):
                late = self._late.copy()
                if await _kept():
                    self._late = {name: row for name, row in self._late.items() if late.get(name) is not row}
                    await self._over(late)

    def _wait(self, done: _Rows) -> None:
        for document in done:
            self.payers.wait(document)

    async def _over(self, done: _Rows) -> None:
        for document in done:
            self.payers.forget(document)
        for track_id in {row["track_id"] for row in done.values() if row.get("track_id")}:
            await self._tell(track_id)

    async def _tell(self, track_id: str) -> None:
        """Log and send what an upload cost, if it is done and was not told of with the same calls before."""
        ledger = current_ledger()
        documents = await self._storage.get_docs_by_track_id(track_id)
        if ledger is None or any(_state(document.status) not in DONE for document in documents.values()):
            return
        found, _ = await asyncio.to_thread(of_upload, ledger, track_id)
        calls = found["call_count"] + found["embedding_calls"] + found["rerank_calls"]
        if self._told.get(track_id, 0) == calls:
            return
        self._told[track_id] = calls
        log(f"upload {track_id}", found)
        bill_upload(track_id, found)


async def _kept() -> bool:
    """Whether the ledger has everything so far, if there is one."""
    ledger = current_ledger()
    return ledger is None or await ledger.aflush(_FLUSH)


def _state(status: Any) -> str:
    return str(getattr(status, "value", status)).lower()
