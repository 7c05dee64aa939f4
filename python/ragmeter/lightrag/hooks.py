"""Hooks into one LightRAG object: three layers that a call passes, and nothing else of LightRAG's is touched.

    outer     around the queue: notes who calls, in the caller's own context
    inner     around the user's function, behind the queue: puts the caller's scope in force, opens the call
    observer  at the provider's SDK: reads the answer (ragmeter.observe)

LightRAG's worker queues hand a ContextVar on since 1.5.5 only, so the scope travels through them as a keyword argument.
LightRAG deep-copies what it finds in its fields: everything installed is a plain function.

The hooks fit releases with one queue a role (1.5.0 and later). Others are refused at install, never metered as 0.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, count_tokens, current_scope
from ragmeter.context import within
from ragmeter.lightrag.owners import Owners
from ragmeter.meter import guard
from ragmeter.observe import instrument
from ragmeter.observe.estimate import estimate, estimate_texts
from ragmeter.observe.patch import Patches
from ragmeter.witness import OpenCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ragmeter._native import Usage

    Function = Callable[..., Awaitable[Any]]

__all__ = ["held", "install", "uninstall"]

_TICKET = "_ragmeter_ticket"
"""Keyword argument that takes the open call through LightRAG's queue."""

_SUMMARY_PRIORITY = 8
"""LightRAG's `_priority` of summaries in the queue that extraction uses too (`constants.DEFAULT_SUMMARY_PRIORITY`)."""

_lock = threading.RLock()
_hooks: dict[int, _Hooks] = {}
"""Hooks by the id of their LightRAG, kept as long as that lives: its queues are used again."""


def install(rag: Any) -> None:
    """Meter everything `rag` does from now on, until `uninstall`. Calls count in the run they are made in.

    Raises:
        RuntimeError: No hook fits this release of LightRAG; the text says what is missing.
    """
    with _lock:
        hooks = _hooks.get(id(rag))
        if hooks is None:
            hooks = _hooks[id(rag)] = _Hooks(rag)
            weakref.finalize(rag, _hooks.pop, id(rag), None)
        hooks.hold(rag)


def uninstall(rag: Any) -> None:
    """Take back one `install`. After the last one the LightRAG is the same, object by object, as before the first."""
    with _lock:
        hooks = _hooks.get(id(rag))
        if hooks is not None:
            hooks.release(rag)


@contextlib.contextmanager
def held(rag: Any) -> Iterator[None]:
    """Meter what `rag` does in a block."""
    install(rag)
    try:
        yield
    finally:
        uninstall(rag)


class _Hooks:
    """The hooks of one LightRAG. Holds no reference to it."""

    def __init__(self, rag: Any) -> None:
        missing = [
            name
            for name in ("_role_llm_states", "_wrap_llm_role_func", "_rebuild_single_role_llm_func", "embedding_func")
            if not hasattr(rag, name)
        ]
        if missing:
            msg = (
                f"ragmeter cannot meter this release of LightRAG: {type(rag).__name__} has no {', '.join(missing)}. "
                "Releases 1.5.0 and later fit."
            )
            raise RuntimeError(msg)
        self._holders = 0
        self._patches = Patches()
        self._owners = Owners()
        self._queues: dict[str, tuple[Any, Any]] = {}
        """Name of a queue: LightRAG's own function of it, and the metered one that stands in."""

    def hold(self, rag: Any) -> None:
        if self._holders == 0:
            try:
                if importlib.util.find_spec("openai") is not None:
                    instrument("openai")
                self._install(rag)
            except BaseException:
                self._remove(rag)
                raise
        self._holders += 1

    def release(self, rag: Any) -> None:
        if self._holders > 0:
            self._holders -= 1
            if self._holders == 0:
                self._remove(rag)

    def _install(self, rag: Any) -> None:
        self._patches.set(rag, "_wrap_llm_role_func", self._role_wrapper(weakref.ref(rag)))
        for role, state in rag._role_llm_states.items():
            own, metered = self._queues.get(role, (None, None))
            if own is not state.wrapped:
                own = state.wrapped
                rag._rebuild_single_role_llm_func(role)
                metered = state.wrapped
            state.wrapped = metered
            self._queues[role] = (own, metered)
        embed = rag.embedding_func
        if embed is not None:
            self._patches.set(
                embed, "func", self._queue(rag, "embedding", embed.func, getattr(embed, "model_name", None))
            )
            self._owners.install(rag, self._patches)
        if rag.rerank_model_func is not None:
            metered = self._queue(rag, "rerank", rag.rerank_model_func, None)
            # Queries read it from the configuration that the storages have shared since the LightRAG was made.
            for config in _storage_configs(rag):
                if config.get("rerank_model_func") is rag.rerank_model_func:
                    self._patches.set_item(config, "rerank_model_func", metered)
            self._patches.set(rag, "rerank_model_func", metered)

    def _remove(self, rag: Any) -> None:
        self._patches.undo()
        for role, (own, metered) in list(self._queues.items()):
            state = rag._role_llm_states.get(role)
            if state is None:
                continue
            if state.wrapped is metered:
                state.wrapped = own
            elif state.wrapped is not own:
                # LightRAG has rebuilt the role in the meantime, through our wrapper; now without it.
                del self._queues[role]
                rag._rebuild_single_role_llm_func(role)

    def _role_wrapper(self, rag_ref: weakref.ref[Any]) -> Callable[..., Any]:
        def _wrap_llm_role_func(role_name: str, raw_func: Function, *args: Any, **kwargs: Any) -> Any:
            rag: Any = rag_ref()
            model = getattr(rag, "llm_model_name", None)
            queued = type(rag)._wrap_llm_role_func(rag, role_name, _inner(raw_func), *args, **kwargs)
            return _outer(queued, functools.partial(_model_call, role_name, model))

        return _wrap_llm_role_func

    def _queue(self, rag: Any, name: str, own: Any, model: str | None) -> Any:
        """Return the metered function that stands in for LightRAG's queued function `own`."""
        known, metered = self._queues.get(name, (None, None))
        if known is own:
            return metered
        from lightrag.utils import priority_limit_async_func_call

        limit = getattr(rag, f"{name}_func_max_async", None) or getattr(rag, f"{name}_model_max_async", None) or 8
        options = {
            "llm_timeout": getattr(rag, f"default_{name}_timeout", None),
            "queue_name": f"{name.capitalize()} func",
            "concurrency_group": name,
        }
        accepted = inspect.signature(priority_limit_async_func_call).parameters
        options = {key: value for key, value in options.items() if key in accepted}
        raw = getattr(own, "__wrapped__", own)
        queued = priority_limit_async_func_call(limit, **options)(_inner(raw)) if raw is not own else _inner(raw)
        call = functools.partial(_embedding_call, self._owners, model) if name == "embedding" else _rerank_call
        metered = _outer(queued, call)
        self._queues[name] = (own, metered)
        return metered


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


def _model_call(role: str, model: str | None, args: Any, kwargs: Any) -> _Ticket:
    """Open a call of a language model. The role of the queue is told finer: glean and summary share extraction's."""
    history = kwargs.get("history_messages")
    if role == "extract":
        if kwargs.get("_priority") == _SUMMARY_PRIORITY:
            role = "summary"
        elif history:
            role = "glean"
    scope = Scope(None, current_scope(), role=role)
    sent = [
        {"role": "system", "content": kwargs.get("system_prompt") or ""},
        *(history or []),
        {"role": "user", "content": args[0] if args else kwargs.get("prompt", "")},
    ]

    def guess(delivered: str | None) -> Usage:
        return estimate("chat", {"messages": sent, "model": model}, delivered)

    return _Ticket(scope, OpenCall(scope, operation="chat", model=model), guess)


def _embedding_call(owners: Owners, model: str | None, args: Any, kwargs: Any) -> _Ticket:
    """Open a call of an embedding model. Its texts may belong to several documents, which share it."""
    scope = Scope(None, current_scope(), role="embedding")
    texts = list(args[0] if args else kwargs.get("texts", ()))
    call = OpenCall(scope, operation="embeddings", model=model)
    call.shares = owners.shares(texts)

    def guess(_: str | None) -> Usage:
        return estimate("embeddings", {"input": texts, "model": model}, None)

    return _Ticket(scope, call, guess, functools.partial(owners.forget, owners.noted(texts)))


def _rerank_call(args: Any, kwargs: Any) -> _Ticket:
    """Open a call of a rerank model."""
    scope = Scope(None, current_scope(), role="rerank")

    def guess(_: str | None) -> Usage:
        texts = [
            kwargs.get("query", args[0] if args else ""),
            *kwargs.get("documents", args[1] if len(args) > 1 else ()),
        ]
        return estimate_texts(sum(count_tokens(text) for text in texts if isinstance(text, str)), 0)

    return _Ticket(scope, OpenCall(scope, operation="rerank"), guess)


def _outer(queued: Function, open_ticket: Callable[[Any, Any], _Ticket]) -> Function:
    @functools.wraps(queued)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        with guard("opening a LightRAG call"):
            kwargs[_TICKET] = open_ticket(args, kwargs)
        return await queued(*args, **kwargs)

    return outer


def _inner(raw: Function) -> Function:
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
                ticket.call.close(lambda: None)  # it may have told a tracker before it failed
            raise
        if hasattr(result, "__aiter__"):
            return result if ticket.call.observed else _watched(result, ticket)
        with guard("closing a LightRAG call"):
            ticket.done()
            ticket.call.close(lambda: ticket.estimate(result if isinstance(result, str) else None))
        return result

    return inner


async def _watched(stream: Any, ticket: _Ticket) -> AsyncIterator[Any]:
    """Pass on a stream that no observer has seen; at its end, or when the reader leaves, its call is recorded."""
    delivered: list[str] = []
    try:
        async for piece in stream:
            if isinstance(piece, str):
                delivered.append(piece)
            yield piece
    finally:
        with guard("closing a LightRAG call"):
            ticket.call.close(lambda: ticket.estimate("".join(delivered)))
        if hasattr(stream, "aclose"):
            await stream.aclose()
