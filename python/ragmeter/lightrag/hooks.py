"""Hooks into one LightRAG object: three layers that a call passes, and nothing else of LightRAG's is touched.

    outer     around the queue: notes who calls, in the caller's own context
    inner     around the user's function, behind the queue: puts the caller's scope in force, opens the call
    observer  at the provider's SDK: reads the answer (ragmeter.observe)

LightRAG's worker queues hand a ContextVar on since 1.5.5 only, so the scope travels through them as a keyword argument.
LightRAG deep-copies what it finds in its fields: everything installed is a plain function.

The hooks fit releases with one queue a role (1.5.0 and later). Others are refused at install, never metered as 0.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, current_scope
from ragmeter.context import within
from ragmeter.lightrag.offer import offering
from ragmeter.lightrag.owners import Owners
from ragmeter.meter import guard
from ragmeter.observe import instrument
from ragmeter.observe.estimate import estimate_chat, estimate_texts
from ragmeter.observe.patch import Patches
from ragmeter.witness import OpenCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ragmeter._native import Usage

    Function = Callable[..., Awaitable[Any]]

__all__ = ["held", "install", "uninstall"]

_TICKET = "_ragmeter_ticket"
"""Keyword argument that takes the open call through LightRAG's queue."""

_SUMMARY_PRIORITY = 8
"""LightRAG's `_priority` of summaries in the queue that extraction uses too (`constants.DEFAULT_SUMMARY_PRIORITY`)."""

_REQUIRED = ("_role_llm_states", "_wrap_llm_role_func", "_rebuild_single_role_llm_func", "embedding_func")

_lock = threading.RLock()


def install(rag: Any) -> None:
    """Meter everything `rag` does from now on, until `uninstall`. Calls count in the run they are made in.

    Raises:
        RuntimeError: No hook fits this release of LightRAG; the text says what is missing.
    """
    with _lock:
        hooks = _hooks_of(rag)
        if hooks is None or (hooks.holders == 0 and not hooks.patches.fit()):
            hooks = _Hooks(rag)
            instrument()  # whatever SDK its model functions call
        if hooks.holders == 0:
            hooks.patches.apply()
        hooks.holders += 1


def uninstall(rag: Any) -> None:
    """Take back one `install`. After the last one the LightRAG is the same, object by object, as before the first."""
    with _lock:
        hooks = _hooks_of(rag)
        if hooks is not None and hooks.holders > 0:
            hooks.holders -= 1
            if hooks.holders == 0:
                hooks.remove(rag)


class held:  # noqa: N801 - reads as a verb
    """Meter what `rag` does in a block."""

    __slots__ = ("_rag",)

    def __init__(self, rag: Any) -> None:
        self._rag = rag

    def __enter__(self) -> None:
        install(self._rag)

    def __exit__(self, *exc_info: object) -> None:
        uninstall(self._rag)


def _hooks_of(rag: Any) -> _Hooks | None:
    """The hooks of a LightRAG, if it ever had any.

    They hang on the functions behind its roles, LightRAG's own and those that stand in for them, so that they live and
    die with it.
    """
    for state in (getattr(rag, "_role_llm_states", None) or {}).values():
        hooks: _Hooks | None = getattr(state.wrapped, "ragmeter_hooks", None)
        if hooks is not None:
            return hooks
    return None


class _Hooks:
    """The hooks of one LightRAG: what stands in for what, made once and put in place for each operation."""

    def __init__(self, rag: Any) -> None:
        missing = [name for name in _REQUIRED if not hasattr(rag, name)]
        if missing:
            msg = (
                f"ragmeter cannot meter this release of LightRAG: {type(rag).__name__} has no {', '.join(missing)}. "
                "Releases 1.5.0 and later fit."
            )
            raise RuntimeError(msg)
        self.holders = 0
        self.patches = Patches()
        self._plan_roles(rag)
        if rag.embedding_func is not None:
            self._plan_embedding(rag, rag.embedding_func)
        if rag.rerank_model_func is not None:
            self._plan_rerank(rag, rag.rerank_model_func)

    def _plan_roles(self, rag: Any) -> None:
        wrap = _role_wrapper(weakref.ref(rag), self)
        self.patches.plan(rag, "_wrap_llm_role_func", wrap)
        building = Patches()
        building.plan(rag, "_wrap_llm_role_func", wrap)
        for state in rag._role_llm_states.values():
            building.plan(state, "wrapped", state.wrapped)
        building.apply()
        try:
            for role, state in rag._role_llm_states.items():
                own = state.wrapped
                if not hasattr(own, "ragmeter_stand_in"):
                    rag._rebuild_single_role_llm_func(role)
                    own.ragmeter_stand_in, state.wrapped = state.wrapped, own
                metered = own.ragmeter_stand_in
                own.ragmeter_hooks = metered.ragmeter_hooks = self
                self.patches.plan(state, "wrapped", metered)
        finally:
            building.undo()

    def _plan_embedding(self, rag: Any, embed: Any) -> None:
        owners = Owners()
        call = functools.partial(_embedding_call, getattr(embed, "model_name", None))
        metered = _stand_in(rag, "embedding", embed.func, call)
        metered.ragmeter_owners = owners
        self.patches.plan(embed, "func", metered)
        owners.plan(rag, self.patches)

    def _plan_rerank(self, rag: Any, own: Any) -> None:
        metered = _stand_in(rag, "rerank", own, _rerank_call)
        self.patches.plan(rag, "rerank_model_func", metered)
        # Queries read it from the configuration that the storages have shared since the LightRAG was made.
        for config in _storage_configs(rag):
            if config.get("rerank_model_func") is own:
                self.patches.plan(config, "rerank_model_func", metered)

    def remove(self, rag: Any) -> None:
        if not self.patches.undo():
            # LightRAG has rebuilt a role meanwhile, through our wrapper; now without it.
            for role, state in rag._role_llm_states.items():
                if hasattr(state.wrapped, "ragmeter_metered"):
                    rag._rebuild_single_role_llm_func(role)


def _role_wrapper(rag_ref: weakref.ref[Any], hooks: _Hooks) -> Callable[..., Any]:
    def _wrap_llm_role_func(role_name: str, raw_func: Function, *args: Any, **kwargs: Any) -> Any:
        rag: Any = rag_ref()
        queued = type(rag)._wrap_llm_role_func(rag, role_name, _inner(raw_func), *args, **kwargs)
        metered = _outer(queued, functools.partial(_model_call, role_name, getattr(rag, "llm_model_name", None)))
        metered.ragmeter_hooks = hooks  # type: ignore[attr-defined]
        return metered

    return _wrap_llm_role_func


def _stand_in(rag: Any, name: str, own: Any, open_ticket: Callable[[Any, Any, Any], _Ticket]) -> Any:
    """Return the metered function that stands in for `own`, LightRAG's queued function of that name.

    It has a queue with workers of its own. It is kept on the function that it stands in for, is used again, and dies
    with it.
    """
    if not hasattr(own, "ragmeter_stand_in"):
        from lightrag.utils import priority_limit_async_func_call

        raw = getattr(own, "__wrapped__", own)
        queued = _inner(raw)
        if raw is not own:
            limit = getattr(rag, f"{name}_func_max_async", None) or getattr(rag, f"{name}_model_max_async", None) or 8
            options = {
                "llm_timeout": getattr(rag, f"default_{name}_timeout", None),
                "queue_name": f"{name.capitalize()} func",
                "concurrency_group": name,
            }
            accepted = inspect.signature(priority_limit_async_func_call).parameters
            options = {key: value for key, value in options.items() if key in accepted}
            queued = priority_limit_async_func_call(limit, **options)(queued)
        own.ragmeter_stand_in = _outer(queued, open_ticket)
    return own.ragmeter_stand_in


def _storage_configs(rag: Any) -> list[dict[str, Any]]:
    """The configurations that the storages of `rag` hold, each once."""
    configs = [getattr(storage, "global_config", None) for storage in vars(rag).values()]
    return list({id(config): config for config in configs if isinstance(config, dict)}.values())


class _Ticket:
    """What travels through the queue: the open call, and how to estimate it if nobody sees its answer."""

    __slots__ = ("call", "done", "estimate", "scope")

    def __init__(
        self,
        scope: Scope,
        call: OpenCall,
        estimate: Callable[[str | None], Usage],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.scope = scope
        self.call = call
        self.estimate = estimate
        self.done = done
        """To be called when the function has returned."""


def _model_call(role: str, model: str | None, _: Any, args: Any, kwargs: Any) -> _Ticket:
    """Open a call of a language model. The role of the queue is told finer: glean and summary share extraction's."""
    history = kwargs.get("history_messages")
    if role == "extract":
        if kwargs.get("_priority") == _SUMMARY_PRIORITY:
            role = "summary"
        elif history:
            role = "glean"
    scope = Scope(None, current_scope(), role=role)

    def guess(delivered: str | None) -> Usage:
        sent = [kwargs.get("system_prompt"), args[0] if args else kwargs.get("prompt")]
        sent += [message.get("content") for message in history or ()]
        return estimate_chat(sent, delivered, model)

    return _Ticket(scope, OpenCall(scope, operation="chat", model=model), guess)


def _embedding_call(model: str | None, outer: Any, args: Any, kwargs: Any) -> _Ticket:
    """Open a call of an embedding model. Its texts may belong to several documents, which share it."""
    scope = Scope(None, current_scope(), role="embedding")
    texts = list(args[0] if args else kwargs.get("texts", ()))
    owners: Owners = outer.ragmeter_owners
    call = OpenCall(scope, operation="embeddings", model=model)
    call.shares = owners.shares(texts)

    def guess(delivered: str | None) -> Usage:  # noqa: ARG001 - it delivers no text
        return estimate_texts(texts, model)

    return _Ticket(scope, call, guess, functools.partial(owners.forget, owners.noted(texts)))


def _rerank_call(_: Any, args: Any, kwargs: Any) -> _Ticket:
    """Open a call of a rerank model."""
    scope = Scope(None, current_scope(), role="rerank")

    def guess(delivered: str | None) -> Usage:  # noqa: ARG001 - it delivers no text
        query = kwargs.get("query", args[0] if args else "")
        documents = kwargs.get("documents", args[1] if len(args) > 1 else ())
        return estimate_texts([query, *documents], None)

    return _Ticket(scope, OpenCall(scope, operation="rerank"), guess)


def _outer(queued: Function, open_ticket: Callable[[Any, Any, Any], _Ticket]) -> Function:
    @functools.wraps(queued)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        with guard("opening a LightRAG call"):
            kwargs[_TICKET] = open_ticket(outer, args, kwargs)
        return await queued(*args, **kwargs)

    outer.ragmeter_metered = True  # type: ignore[attr-defined]
    return outer


def _inner(raw: Function) -> Function:
    raw = offering(raw)

    @functools.wraps(raw)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        ticket = kwargs.pop(_TICKET, None)
        if ticket is None:
            return await raw(*args, **kwargs)
        try:
            with within(ticket.scope), ticket.call:
                result = await raw(*args, **kwargs)
        except BaseException:
            with guard("closing a LightRAG call"):
                ticket.call.close(None)  # it may have told a tracker before it failed
            raise
        if hasattr(result, "__aiter__"):
            return _watched(result, ticket)
        with guard("closing a LightRAG call"):
            ticket.done()
            ticket.call.close(lambda: ticket.estimate(result if isinstance(result, str) else None))
        return result

    return inner


async def _watched(stream: Any, ticket: _Ticket) -> AsyncIterator[Any]:
    """Pass on a stream. It may send its request when it is first read, and tell a tracker at its end.

    What it does is done in the scope of its call. At its end, or when the reader leaves, the call is recorded, if no
    observer has seen it.
    """
    delivered: list[str] = []
    pieces = aiter(stream)
    try:
        while True:
            with within(ticket.scope), ticket.call:
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    break
            if isinstance(piece, str):
                delivered.append(piece)
            yield piece
    finally:
        with guard("closing a LightRAG call"):
            ticket.call.close(lambda: ticket.estimate("".join(delivered)))
        if hasattr(stream, "aclose"):
            await stream.aclose()
