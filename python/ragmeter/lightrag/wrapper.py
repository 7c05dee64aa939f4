"""TokenTrackingLightRAG: a LightRAG whose operations are runs."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from ragmeter.context import run
from ragmeter.lightrag import anything
from ragmeter.lightrag.billing import bill, bill_after
from ragmeter.lightrag.metering import Metered, bare, documents_of, held
from ragmeter.lightrag.tracker import TokenTracker, listeners_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter._native import Run

__all__ = ["TokenTrackingLightRAG", "create_tracked_lightrag", "track_lightrag_operations"]

QUESTIONS = frozenset({"query", "query_data", "query_llm", "query_with_separate_keyword_extraction"})
"""Public methods that ask models and leave the documents alone; each also exists with an `a` in front."""

OPERATIONS = QUESTIONS | anything.OPERATIONS | frozenset({
    "insert", "insert_custom_chunks", "insert_custom_kg",
    "delete_by_doc_id", "delete_by_entity", "delete_by_relation",
    "create_entity", "create_relation", "edit_entity", "edit_relation", "merge_entities",
    "pipeline_enqueue_documents", "pipeline_process_enqueue_documents",
    "analyze_multimodal", "rollback_failed_custom_chunk_patches",
})  # fmt: skip
"""Public methods that may call a model; each also exists with an `a` in front, some only so."""

_OWN = frozenset({"_held", "_held_for_questions", "_listeners", "_rag", "_tracker"})
"""Attributes that are not those of the LightRAG."""


class TokenTrackingLightRAG(Metered):
    """A LightRAG that counts what its operations cost. Everything else is the LightRAG's own.

    Operations may overlap, on this object or on others around the same LightRAG: each counts its own calls. While none
    is running the LightRAG is as it was before.

    Args:
        rag: The LightRAG to meter.
        token_tracker: Where to count; a new `TokenTracker` if not given. LightRAG's own does too, with fewer numbers.
    """

    def __init__(self, rag: Any, token_tracker: Any = None) -> None:
        self._rag: Any = bare(rag)
        self._tracker: Any = None
        self._listeners: list[Any] = []
        self._held = held(self._rag)
        self._held_for_questions = held(self._rag, documents=False)
        self.set_token_tracker(TokenTracker() if token_tracker is None else token_tracker)

    def set_token_tracker(self, token_tracker: Any) -> None:
        """Count operations that begin from now on in `token_tracker`.

        Raises:
            TypeError: It has no method `add_usage`.
        """
        self._listeners = listeners_of(token_tracker)  # kept, so that they are the same for every operation
        self._tracker = token_tracker

    def get_token_tracker(self) -> Any:
        """Return the tracker that counts the operations."""
        return self._tracker

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # not made yet, as in a copy
            raise AttributeError(name)
        value = getattr(self._rag, name)
        if name.removeprefix("a") not in OPERATIONS and name not in OPERATIONS:
            return value
        metered = self._metered(name, value)
        object.__setattr__(self, name, metered)
        return metered

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._rag, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._rag)})

    def __copy__(self) -> TokenTrackingLightRAG:
        return TokenTrackingLightRAG(self._rag, self._tracker)

    def __repr__(self) -> str:
        return f"TokenTrackingLightRAG({self._rag!r})"

    def _metered(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        hooks = self._held_for_questions if name.removeprefix("a") in QUESTIONS else self._held
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def operation(*args: Any, **kwargs: Any) -> Any:
                with hooks, run(name, listeners=listeners_of(self._tracker)) as current:
                    try:
                        answer = await getattr(self._rag, name)(*args, **kwargs)
                    except BaseException:
                        bill(current, name)
                        raise
                return bill_after(answer, current, name, self._rag)

        else:

            @functools.wraps(method)
            def operation(*args: Any, **kwargs: Any) -> Any:
                with hooks, run(name, listeners=listeners_of(self._tracker)) as current:
                    try:
                        answer = getattr(self._rag, name)(*args, **kwargs)
                    except BaseException:
                        bill(current, name)
                        raise
                return bill_after(answer, current, name, self._rag)

        return operation


class track_lightrag_operations:  # noqa: N801 - reads as a verb
    """Meter everything a LightRAG does in a block, with `async with` or `with`; yields the metered LightRAG.

    Calls of the plain `rag` inside the block count too. The block is a run: `ragmeter.current_run()`.

    Args:
        rag: The LightRAG to meter.
        token_tracker: Where to count; a new `TokenTracker` if not given.
        wait: At the end of the block, wait until the documents that were enqueued in it are done: an insert into a
            busy LightRAG returns at once, and another one works on its documents. With `async with` only.
        timeout: Seconds to wait at most. After that a `TimeoutError` names the documents that are still under way; what
            was recorded so far stays, and what they cost from then on counts too.

    Raises:
        ValueError: A timeout, and nothing to wait for.
    """

    def __init__(
        self, rag: Any, token_tracker: Any = None, *, wait: bool = False, timeout: float | None = None
    ) -> None:
        if timeout is not None and not wait:
            msg = "track_lightrag_operations(timeout=…) is for wait=True"
            raise ValueError(msg)
        self._wait, self._timeout = wait, timeout
        self._current: Run | None = None
        self._tracked = TokenTrackingLightRAG(rag, token_tracker)
        self._held = held(self._tracked._rag)
        self._run = run("lightrag", listeners=listeners_of(self._tracked.get_token_tracker()))

    def __enter__(self) -> TokenTrackingLightRAG:
        if self._wait:
            msg = "track_lightrag_operations(wait=True) can wait in `async with` only"
            raise TypeError(msg)
        return self._enter()

    def _enter(self) -> TokenTrackingLightRAG:
        self._held.__enter__()
        self._current = self._run.__enter__()
        return self._tracked

    def __exit__(self, *exc_info: object) -> None:
        self._run.__exit__(*exc_info)
        self._held.__exit__(*exc_info)

    async def __aenter__(self) -> TokenTrackingLightRAG:
        return self._enter()

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        try:
            rag = self._tracked._rag
            documents = documents_of(rag)
            if self._wait and kind is None and documents is not None and self._current is not None:
                await documents.over(self._current, rag.doc_status, self._timeout)
        finally:
            self.__exit__(kind, *exc_info)


def create_tracked_lightrag(*args: Any, token_tracker: Any = None, **kwargs: Any) -> TokenTrackingLightRAG:
    """Make a LightRAG of these arguments and return it metered.

    Args:
        *args: Arguments of `LightRAG`.
        token_tracker: Where to count; a new `TokenTracker` if not given.
        **kwargs: Arguments of `LightRAG`.

    Raises:
        ImportError: LightRAG is not installed.
    """
    from lightrag import LightRAG

    return TokenTrackingLightRAG(LightRAG(*args, **kwargs), token_tracker)
