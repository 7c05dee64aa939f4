"""Documents: whose each document is, while LightRAG works on it.

LightRAG has no one place where every release works on one document. All write its status when they begin a stage of it,
in the task that goes on to do the work, so that is where its labels are put in force. A pipeline that is busy takes on
the documents of others: who enqueued a document pays for it, whichever insert happens to process it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
import weakref
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, current_scope
from ragmeter.bounded import Bounded
from ragmeter.context import within
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter._native import Run
    from ragmeter.observe.patch import Patches

__all__ = ["Documents"]

_IN_WORK = frozenset({"parsing", "analyzing", "processing"})
_OVER = frozenset({"processed", "failed"})

_PAUSE = 0.1
"""Seconds between two looks at documents that are waited for."""

_MOST_KNOWN = 100_000
"""Documents whose payer or failures are known. What another process works on is never heard of again here."""

_CONTAINED = ("ainsert_custom_chunks", "arollback_failed_custom_chunk_patches")
"""Public methods that write the status of a document in their caller's own task, which goes on to other things."""

_EXTRACTION = ("_process_extract_entities", "_process_entity_relation_graph")
"""What takes the chunks of one document to extract from, by the names it has had."""

_around: ContextVar[tuple[Scope, Scope | None] | None] = ContextVar("ragmeter_lightrag_around", default=None)
"""The scope of the document that this task works on, and the one that was in force before."""


class Documents:
    """The documents of one LightRAG: who enqueued each, and how often it has failed.

    Attributes:
        elsewhere: Finds who enqueued a document in another process; nobody does unless somebody says how.
    """

    def __init__(self) -> None:
        self.elsewhere: Callable[[str], Scope | None] = lambda _: None
        self._payers: OrderedDict[str, Scope] = OrderedDict()
        self._failures: dict[str, int] = Bounded(_MOST_KNOWN)
        self._working: set[str] = set()
        self._promises: list[tuple[Run, Callable[[], None]]] = []

    def plan(self, rag: Any, patches: Patches) -> None:
        """Plan to watch the documents of `rag` come and go."""
        status = getattr(rag, "doc_status", None)
        if status is not None:
            patches.plan(status, "upsert", self._upsert(weakref.ref(status), type(status).upsert))
        wrappers = {
            "process_single_document": self._process,
            "adelete_by_doc_id": self._delete,
            "analyze_multimodal": self._analyze,
        }
        wrappers |= dict.fromkeys(_CONTAINED, _contained) | dict.fromkeys(_EXTRACTION, self._extract)
        for name, wrapper in wrappers.items():
            own = getattr(type(rag), name, None)
            if inspect.iscoroutinefunction(own):
                patches.plan(rag, name, wrapper(weakref.ref(rag), own))

    def waiting(self, run: Run) -> list[str]:
        """Return the documents that were enqueued in `run`, or in a run inside it, and are not done."""
        return [document for document, payer in list(self._payers.items()) if _inside(payer.run, run)]

    async def over(self, run: Run, status: Any, timeout: float | None = None) -> None:
        """Return when every document that was enqueued in `run` is processed or has failed, in whatever process.

        Args:
            run: The run.
            status: LightRAG's storage of the status of documents, for those that another process works on.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: Some are still under way; the text names them.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while waiting := self.waiting(run):
            for document in waiting:
                row = await status.get_by_id(document)
                if document not in self._working and (not row or _status(row) in _OVER):
                    self._done(document)
            if deadline is not None and time.monotonic() >= deadline and (waiting := self.waiting(run)):
                msg = f"{len(waiting)} documents are still under way after {timeout:g} s: {', '.join(waiting)}"
                raise TimeoutError(msg)
            await asyncio.sleep(_PAUSE)

    def when_over(self, run: Run, function: Callable[[], None]) -> None:
        """Call `function` when every document that was enqueued in `run` is done; now, if all are."""
        if self.waiting(run):
            self._promises.append((run, function))
        else:
            function()

    def _done(self, document: str) -> None:
        if self._payers.pop(document, None) is None:
            return
        due = [promise for promise in self._promises if not self.waiting(promise[0])]
        self._promises = [promise for promise in self._promises if promise not in due]
        for _, function in due:
            function()

    def _upsert(self, status_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        # No coroutine function: what it puts in force must be in force for its caller, wherever that awaits it.
        def upsert(data: dict[str, dict[str, Any]], *args: Any, **kwargs: Any) -> Awaitable[Any]:
            with guard("noting the status of a document"):
                for document, row in data.items():
                    self._note(document, row, alone=len(data) == 1)
            return own(status_ref(), data, *args, **kwargs)  # type: ignore[no-any-return]

        return upsert

    def _note(self, document: str, row: dict[str, Any], *, alone: bool) -> None:
        status = _status(row)
        if status == "pending":
            scope = current_scope()
            if scope is not None and scope.run is not None:
                self._payers.setdefault(document, Scope(scope.run, None, quota=scope.quota, **scope.labels))
                if len(self._payers) > _MOST_KNOWN:
                    self._done(next(iter(self._payers)))
        elif status in _IN_WORK and alone:
            self._put_in_force(document, row)
        elif status in _OVER:
            if status == "failed":
                self._failures[document] = self._failures.get(document, 0) + 1
            else:
                self._failures.pop(document, None)
            if document not in self._working:
                self._done(document)

    def _put_in_force(self, document: str, row: dict[str, Any]) -> None:
        """Label what the task here does from now on: LightRAG works on one document in it, or on one after another."""
        scope = current_scope()
        if scope is not None and scope.labels.get("document") == document:
            return
        known = _around.get()
        around = known[1] if known is not None and known[0] is scope else scope
        mine = _scope(document, row.get, self._payer(document) or around, self._attempt_at(document))
        _around.set((mine, around))
        within(mine).__enter__()

    def _payer(self, document: str) -> Scope | None:
        return self._payers.get(document) or self.elsewhere(document)

    def _attempt_at(self, document: str) -> int:
        return self._failures.get(document, 0) + 1

    def _process(self, rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the processing of one document, which may embed after it has said that the document is done."""

        @functools.wraps(own)
        async def process_single_document(*args: Any, **kwargs: Any) -> Any:
            scope, document = current_scope(), kwargs.get("doc_id", "")
            with guard("labelling a document"):
                if document:
                    status = functools.partial(_attribute, kwargs.get("status_doc"))
                    scope = _scope(document, status, self._payer(document) or scope, self._attempt_at(document))
                    self._working.add(document)
            try:
                with within(scope):
                    return await own(rag_ref(), *args, **kwargs)
            finally:
                self._working.discard(document)
                self._done(document)

        return process_single_document

    def _delete(self, rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the deletion of a document, which pays for what is rebuilt without it."""

        @functools.wraps(own)
        async def adelete_by_doc_id(doc_id: str, *args: Any, **kwargs: Any) -> Any:
            rag: Any = rag_ref()
            scope = current_scope()
            with guard("labelling a document"):
                row = await rag.doc_status.get_by_id(doc_id) or {}
                field = row.get if isinstance(row, dict) else functools.partial(_attribute, row)
                scope = _scope(doc_id, field, scope, 1)
            with within(scope):
                return await own(rag, doc_id, *args, **kwargs)

        return adelete_by_doc_id

    def _analyze(self, rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the analysis of what a document shows, which users may ask for by itself."""

        @functools.wraps(own)
        async def analyze_multimodal(doc_id: str, file_path: str, *args: Any, **kwargs: Any) -> Any:
            scope = current_scope()
            with guard("labelling a document"):
                if scope is None or scope.labels.get("document") != doc_id:
                    scope = Scope(None, scope, document=doc_id, file_path=file_path or None)
            with within(scope):
                return await own(rag_ref(), doc_id, file_path, *args, **kwargs)

        return analyze_multimodal

    def _extract(self, rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the extraction from chunks, which know their document where its status says nothing."""

        @functools.wraps(own)
        async def extract(chunks: Any, *args: Any, **kwargs: Any) -> Any:
            scope = current_scope()
            with guard("labelling a document"):
                chunk: dict[str, Any] = next(iter(chunks.values()), {})
                document = chunk.get("full_doc_id")
                if document and (scope is None or "document" not in scope.labels):
                    scope = _scope(document, chunk.get, scope)
            with within(scope):
                return await own(rag_ref(), chunks, *args, **kwargs)

        return extract


def _scope(document: str, field: Callable[[str], Any], around: Scope | None, attempt: int | None = None) -> Scope:
    labels = {name: field(name) or None for name in ("track_id", "file_path")}
    return Scope(None, around, attempt=attempt, document=document, **labels)


def _status(row: Any) -> str | None:
    status = row.get("status") if isinstance(row, dict) else _attribute(row, "status")
    return getattr(status, "value", status)


def _attribute(row: Any, name: str) -> Any:
    return getattr(row, name, None)


def _contained(rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method so that what it puts in force ends with it."""

    @functools.wraps(own)
    async def contained(*args: Any, **kwargs: Any) -> Any:
        with within(current_scope()):
            return await own(rag_ref(), *args, **kwargs)

    return contained


def _inside(run: Run | None, around: Run) -> bool:
    while run is not None:
        if run == around:
            return True
        run = run.outer
    return False
