"""TokenTracker: what LightRAG's own tracker promises, exact and safe to share between threads and tasks."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, Usage, extract_usage, record
from ragmeter.meter import logger
from ragmeter.witness import open_call

if TYPE_CHECKING:
    from ragmeter._native import Call, RunTotals

__all__ = ["TokenTracker", "langfuse_block", "listeners_of", "metrics", "metrics_of"]

_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "input_cached_tokens",
    "input_audio_tokens",
    "output_reasoning_tokens",
    "output_audio_tokens",
    "output_accepted_prediction_tokens",
    "output_rejected_prediction_tokens",
)
"""The counts of a metrics object; the rest of what Langfuse shows is derived from them."""

_counted: ContextVar[bool] = ContextVar("ragmeter_lightrag_counted", default=False)
"""Whether what a tracker is told here is in its run already."""

_MODEL_OPERATIONS = ("chat", "image2text", None)
"""Operations whose tokens are a model's prompt and completion; calls without a label are taken for such."""


def metrics(run: Run) -> dict[str, Any]:
    """Return the metrics object of a run, in LightRAG's and OpenAI's field names.

    The counts of prompt and completion are those of model calls alone; embeddings and reranks stand beside them. A
    count that no provider gave is 0 here; `cache_hits` and `saved_tokens` are what LightRAG's own cache of answers
    spared, and no part of the others; `origin` says whether every call was `reported`, and if not, how many were
    estimated or unknown stands beside it.
    """
    return metrics_of(run.by("operation", "model"))


def metrics_of(by_kind: dict[Any, RunTotals]) -> dict[str, Any]:
    """Return the metrics object of totals by operation and model."""
    models = _sum(totals for (operation, _), totals in by_kind.items() if operation in _MODEL_OPERATIONS)
    embeddings = _sum(totals for (operation, _), totals in by_kind.items() if operation == "embeddings")
    reranks = _sum(totals for (operation, _), totals in by_kind.items() if operation == "rerank")
    spenders = {
        model: totals.usage.total_tokens or 0
        for (operation, model), totals in by_kind.items()
        if operation in _MODEL_OPERATIONS and model is not None
    }
    counts = (models.usage if models is not None else Usage()).metrics()
    whole = _sum(by_kind.values())
    return {
        **{name: counts[name] for name in _COUNTS},
        "call_count": models.calls if models is not None else 0,
        "model": max(spenders, key=lambda model: spenders[model]) if spenders else None,
        "embedding_tokens": (embeddings.usage.input_tokens or 0) if embeddings is not None else 0,
        "embedding_calls": embeddings.calls if embeddings is not None else 0,
        "rerank_tokens": (reranks.usage.input_tokens or 0) if reranks is not None else 0,
        "rerank_calls": reranks.calls if reranks is not None else 0,
        "cache_hits": whole.cache_hits if whole is not None else 0,
        "saved_tokens": whole.saved_tokens if whole is not None else 0,
        "origin": "reported" if whole is None or whole.reported_calls == whole.calls else "partly_estimated",
        "estimated_calls": whole.estimated_calls if whole is not None else 0,
        "unknown_calls": whole.unknown_calls if whole is not None else 0,
    }


def langfuse_block(usage: dict[str, Any]) -> str:
    """Return a metrics object as the block of label lines and number lines that Langfuse shows."""
    cached, reasoning = usage["cached_tokens"], usage["output_reasoning_tokens"]
    lines = {
        "Input usage": usage["prompt_tokens"],
        "input_cached_tokens": cached,
        "input": usage["prompt_tokens"] - cached,
        "input_audio_tokens": usage["input_audio_tokens"],
        "Output usage": usage["completion_tokens"],
        "output_reasoning_tokens": reasoning,
        "output": usage["completion_tokens"] - reasoning,
        "output_accepted_prediction_tokens": usage["output_accepted_prediction_tokens"],
        "output_audio_tokens": usage["output_audio_tokens"],
        "output_rejected_prediction_tokens": usage["output_rejected_prediction_tokens"],
        "Total usage": usage["total_tokens"],
    }
    return "\n".join(f"{label}\n{count}" for label, count in lines.items())


def _sum(parts: Any) -> RunTotals | None:
    whole: RunTotals | None = None
    for part in parts:
        whole = part if whole is None else whole + part
    return whole


class TokenTracker:
    """Counts what it hears of: calls of the operations it is attached to, and what `add_usage` tells it.

    Stands in for `lightrag.utils.TokenTracker`, also as `token_tracker=` of a model function: a call that ragmeter
    observes itself is not counted again when the function reports it too.

    Example:
        >>> from ragmeter.lightrag import TokenTracker
        >>> tracker = TokenTracker()
        >>> tracker.add_usage({"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15})
        >>> tracker.get_usage()["total_tokens"], tracker.get_usage()["call_count"]
        (15, 1)
    """

    def __init__(self) -> None:
        self._run = Run("token tracker")

    @property
    def run(self) -> Run:
        """The totals behind the numbers, for `by("role")`, `by("document", "model")` and so on."""
        return self._run

    def add_usage(self, token_counts: dict[str, Any]) -> None:
        """Count one call by what the provider said of it, in any provider's field names. Never raises for a value.

        A subclass with an `add_usage` of its own hears of the calls of operations too, in LightRAG's three counts; what
        it hands on of these has been counted already, with everything that is known of them.
        """
        if _counted.get():
            return
        usage = extract_usage({"usage": token_counts})
        if usage is None:
            usage = Usage(origin="unknown")
        call = open_call()
        if call is None:
            record(usage, operation="chat", scope=Scope(self._run))
        elif not call.observed:
            call.tell(usage)

    def get_usage(self) -> dict[str, Any]:
        """Return the counts so far: see `metrics`."""
        return metrics(self._run)

    def by(self, *keys: str) -> dict[Any, RunTotals]:
        """Return the counts so far, told apart by labels: `by("role")`, `by("operation", "model")`."""
        return self._run.by(*keys)

    def reset(self) -> None:
        """Forget what was counted. Operations that are still running count in what was forgotten."""
        self._run = Run("token tracker")

    def __copy__(self) -> TokenTracker:
        return self

    def __deepcopy__(self, memo: object) -> TokenTracker:
        return self  # LightRAG copies what stands in its fields deeply, and would count in the copy

    def __enter__(self) -> TokenTracker:
        self.reset()
        return self

    def __exit__(self, *exc_info: object) -> None:
        logger.info("%s", self)

    def __str__(self) -> str:
        usage = self.get_usage()
        return (
            f"LLM call count: {usage['call_count']}, Prompt tokens: {usage['prompt_tokens']}, "
            f"Completion tokens: {usage['completion_tokens']}, Total tokens: {usage['total_tokens']}"
        )


_listeners: weakref.WeakValueDictionary[int, _Listener] = weakref.WeakValueDictionary()
"""Listeners in use, by the identity of their tracker: it need be no key of a dict, and two that are equal are two."""


def listeners_of(tracker: Any) -> list[Any]:
    """Return what hears calls for `tracker`, one of ours or any object with LightRAG's `add_usage`.

    They are the same for the same tracker, as long as somebody holds them: one that listens to an operation and to the
    block around it hears a call once.

    Raises:
        TypeError: The tracker has no method `add_usage`.
    """
    if isinstance(tracker, TokenTracker):
        if type(tracker).add_usage is TokenTracker.add_usage:
            return [tracker.run]
        return [tracker.run, _listener_of(tracker)]
    if not callable(getattr(tracker, "add_usage", None)):
        msg = f"a token tracker has a method add_usage(dict); {type(tracker).__name__} has none"
        raise TypeError(msg)
    return [_listener_of(tracker)]


def _listener_of(tracker: Any) -> _Listener:
    return _listeners.setdefault(id(tracker), _Listener(tracker))


class _Listener:
    """Tells a tracker of the calls of models, in the four numbers that it knows."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker  # which lives as long as this does, so that its identity is its own

    def __call__(self, call: Call) -> None:
        if call.labels.get("operation") not in _MODEL_OPERATIONS:
            return
        sent, received = call.usage.input_tokens or 0, call.usage.output_tokens or 0
        counts = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
        token = _counted.set(True)
        try:
            self._tracker.add_usage(counts)
        finally:
            _counted.reset(token)
