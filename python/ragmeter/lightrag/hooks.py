"""Hooks around one function of a LightRAG: three layers that a call passes, and nothing else of LightRAG's is touched.

    outer     around the queue: opens the call in the caller's own context, and watches the stream that it answers with
    inner     around the user's function, behind the queue: puts the call in force
    observer  at the provider's SDK: reads the answer (ragmeter.observe)

LightRAG's worker queues hand a ContextVar on since 1.5.5 only, so the scope travels through them as a keyword argument.
LightRAG deep-copies what it finds in its fields: everything installed is a plain function.

Not here: where they are put in place (`roles.py`, `one_queue.py`), and when (`metering.py`).
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, current_scope
from ragmeter.lightrag.cache import missed, remember
from ragmeter.lightrag.offer import offering
from ragmeter.meter import guard, keep
from ragmeter.observe.estimate import estimate_chat, estimate_texts
from ragmeter.witness import OpenCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from ragmeter._native import Usage
    from ragmeter.lightrag.families import Family
    from ragmeter.lightrag.owners import Owners

    Function = Callable[..., Awaitable[Any]]
    Opening = Callable[[Any, Any, Any], "_Call"]

__all__ = ["embedding_call", "layered", "model_call", "rerank_call", "stand_in"]

_CALL = "_ragmeter_call"
"""Keyword argument that takes the open call through LightRAG's queue."""

_SUMMARY_PRIORITY = 8
"""LightRAG's `_priority` of summaries in the queue that extraction uses too (`constants.DEFAULT_SUMMARY_PRIORITY`)."""


def layered(raw: Function, limit: Callable[[Function], Function], open_call: Opening) -> Any:
    """Return a function with both layers around `raw` and, between them, what limits its calls."""
    return _outer(limit(_inner(raw)), open_call)


def stand_in(rag: Any, family: Family, name: str, own: Any, open_call: Opening) -> Any:
    """Return the metered function that stands in for `own`, LightRAG's function of that name.

    Where LightRAG limits its calls, the stand-in has a limiter with workers of its own. It is kept on the function that
    it stands in for, is used again, and dies with it.
    """
    known = getattr(own, "ragmeter_stand_in", None)
    if known is not None:
        return known
    if family.limited(own):
        most = getattr(rag, f"{name}_func_max_async", None) or getattr(rag, f"{name}_model_max_async", None) or 8
        limit = functools.partial(
            family.limit,
            most=most,
            llm_timeout=getattr(rag, f"default_{name}_timeout", None),
            queue_name=f"{name.capitalize()} func",
            concurrency_group=name,
        )
        metered = layered(own.__wrapped__, limit, open_call)
    else:
        metered = layered(own, lambda inner: inner, open_call)
    with contextlib.suppress(AttributeError):  # a bound method keeps nothing
        own.ragmeter_stand_in = metered
    return metered


class _Call(OpenCall):
    """A call on its way through the queue, which knows how to estimate itself if nobody sees its answer."""

    __slots__ = ("done", "dropped", "estimate")

    estimate: Callable[[str | None], Usage]
    """Returns its usage by the text that it delivered, None if it has delivered none."""

    done: Callable[[], None] | None
    """To be called when the function has returned."""

    dropped: weakref.finalize[..., Any] | None
    """Ends the call if its stream is dropped; it holds the call, so it goes when the stream is over."""


def model_call(role: str | None, model: str | None, _: Any, args: Any, kwargs: Any) -> _Call:
    """Open a call of a language model. The role of the queue is told finer: glean and summary share extraction's.

    Where one queue serves every role, `role` is None and the call itself says what it is for.
    """
    history = kwargs.get("history_messages")
    if role is None:
        role = _role_of(kwargs)
    if role == "extract":
        if kwargs.get("_priority") == _SUMMARY_PRIORITY:
            role = "summary"
        elif history:
            role = "glean"
    prompts = kwargs.get("system_prompt"), args[0] if args else kwargs.get("prompt")
    call = _open(role, "chat", model, functools.partial(_guess_chat, prompts, history, model))
    if missed.get():
        call.done = remember(call, role)
    return call


def _open(role: str, operation: str, model: str | None, estimate: Callable[[str | None], Usage]) -> _Call:
    call = _Call(Scope(None, current_scope(), role=role), operation=operation, model=model)
    call.estimate = estimate
    call.done = call.dropped = None
    return call


def _guess_chat(prompts: Sequence[str | None], history: Any, model: str | None, delivered: str | None) -> Usage:
    return estimate_chat([*prompts, *(message.get("content") for message in history or ())], delivered, model)


def _guess_texts(texts: Sequence[str], model: str | None, _delivered: str | None) -> Usage:
    return estimate_texts(texts, model)


def _role_of(kwargs: dict[str, Any]) -> str:
    """Tell what a call through the one queue is for: answers alone may be streamed, summaries alone have a length."""
    if kwargs.get("keyword_extraction"):
        return "keyword"
    if "stream" in kwargs:
        return "query"
    return "summary" if "max_tokens" in kwargs else "extract"


def embedding_call(model: str | None, outer: Any, args: Any, kwargs: Any) -> _Call:
    """Open a call of an embedding model. Its texts may belong to several documents, which share it."""
    texts = list(args[0] if args else kwargs.get("texts", ()))
    owners: Owners = outer.ragmeter_owners
    call = _open("embedding", "embeddings", model, functools.partial(_guess_texts, texts, model))
    if not owners.known:
        return call
    shares = owners.shares(texts, role="embedding")
    if shares is not None:
        call.shares = shares
        call.divide = functools.partial(owners.shares_of_part, texts, shares, role="embedding")
    noted = owners.noted(texts)
    if noted:
        call.done = functools.partial(owners.forget, noted)
    return call


def rerank_call(_: Any, args: Any, kwargs: Any) -> _Call:
    """Open a call of a rerank model."""
    query = kwargs.get("query", args[0] if args else "")
    documents = kwargs.get("documents", args[1] if len(args) > 1 else ())
    return _open("rerank", "rerank", None, functools.partial(_guess_texts, [query, *documents], None))


def _outer(queued: Function, open_call: Opening) -> Function:
    @functools.wraps(queued)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        call = None
        try:
            kwargs[_CALL] = call = open_call(outer, args, kwargs)
        except BaseException as exc:  # noqa: BLE001 - the quick way to say `with guard(...)`
            keep("opening a LightRAG call", exc)
        result = await queued(*args, **kwargs)
        # Not behind the queue, whose workers hold on to what they have passed on last.
        return _watch(result, call) if call is not None and hasattr(result, "__aiter__") else result

    outer.ragmeter_metered = True  # type: ignore[attr-defined]
    return outer


def _inner(raw: Function) -> Function:
    raw = offering(raw)

    @functools.wraps(raw)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        call: _Call | None = kwargs.pop(_CALL, None)
        if call is None:
            return await raw(*args, **kwargs)
        try:
            if call.guarded:
                await call.aadmit()
            with call:
                result = await raw(*args, **kwargs)
        except BaseException:
            call.close(None)  # it may have told a tracker before it failed
            raise
        if hasattr(result, "__aiter__"):
            _leave_with(result, call, [])
            return result
        if call.done is not None:
            with guard("closing a LightRAG call"):
                call.done()
        call.close(functools.partial(call.estimate, result if isinstance(result, str) else None))
        return result

    return inner


def _leave(call: _Call, delivered: list[str]) -> None:
    """Close the call of a stream that is not read any further, if nothing else has."""
    with guard("closing a LightRAG call"):
        call.leave()
        call.close(functools.partial(call.estimate, "".join(delivered)) if delivered else None)


def _watch(stream: Any, call: _Call) -> AsyncIterator[Any]:
    delivered: list[str] = []
    watched = _watched(stream, call, delivered)
    _leave_with(watched, call, delivered)
    return watched


def _leave_with(stream: Any, call: _Call, delivered: list[str]) -> None:
    """Let `call` end when `stream` is dropped: of a generator that never ran, no line is run."""
    with contextlib.suppress(TypeError):  # some objects have no place for it
        if call.dropped is not None:
            call.dropped.detach()
        call.dropped = weakref.finalize(stream, _leave, call, delivered)
        call.dropped.atexit = False


async def _watched(stream: Any, call: _Call, delivered: list[str]) -> AsyncIterator[Any]:
    """Pass on a stream. It may send its request when it is first read, and tell a tracker at its end.

    What it does is done in the scope of its call. At its end, or when the reader leaves, the call is recorded, if no
    observer has seen it.
    """
    pieces = aiter(stream)
    try:
        while True:
            with call:
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    break
            if isinstance(piece, str):
                delivered.append(piece)
            yield piece
    finally:
        call.close(functools.partial(call.estimate, "".join(delivered)))
        if call.dropped is not None:
            call.dropped.detach()
        if hasattr(stream, "aclose"):
            await stream.aclose()
