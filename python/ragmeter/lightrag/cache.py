"""Cache: the answers that LightRAG takes from its own cache, and what they would have cost.

A call whose answer was not in the cache is remembered with what it cost, so that a later hit says exactly what it
spared. LightRAG looks into the cache right before it calls, in the same task: whoever calls next there pays for what
was looked for last. What was cached by another process, or long ago, is estimated from its texts.

The provider's own caching of prompts is something else: those are `cached_tokens`.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter._native import record_cache_hit
from ragmeter.bounded import Bounded
from ragmeter.meter import keep
from ragmeter.observe.estimate import estimate_chat
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ragmeter.witness import OpenCall

    _Key: TypeAlias = tuple[int, str]

__all__ = ["missed", "remember", "watch"]

_MOST_REMEMBERED = 100_000
"""Answers, of some 200 bytes each."""

_MOST_MISSED = 4
"""A question may look for its answer and then for its keywords. What is missed and never asked for must not pile up."""

_ROLES = {"keywords": "keyword", "analysis": "vlm"}
"""Roles of LightRAG's types of cache, where the two differ."""

missed: ContextVar[tuple[_Key, ...]] = ContextVar("ragmeter_lightrag_missed", default=())
"""What was looked for here and not found, and has not been asked for yet."""

_lock = threading.RLock()


class _Paid(NamedTuple):
    tokens: int
    role: str | None
    model: str | None


_paid: dict[_Key, _Paid] = Bounded(_MOST_REMEMBERED)


_watch: list[Patches] = []
"""The watch over LightRAG's cache, one for all LightRAGs."""


def watch() -> Patches:
    """Return the watch over LightRAG's cache, made anew where it no longer fits."""
    with _lock:
        if not (_watch and _watch[0].fit()):
            _watch[:] = [_plan()]
        return _watch[0]


def remember(call: OpenCall, role: str) -> Callable[[], None]:
    """Return what is to be called when a model call has ended well: it remembers what the answer missed last cost."""
    keys = missed.get()
    missed.set(keys[:-1])

    def done() -> None:
        if not call.heard:
            return
        tokens = sum(usage.total_tokens or 0 for usage in call.heard)
        with _lock:
            _paid[keys[-1]] = _Paid(tokens, role, call.heard[-1].model)

    return done


def _plan() -> Patches:
    """Plan to stand in for `handle_cache` in every module of LightRAG that has it."""
    patches = Patches()
    own = getattr(sys.modules.get("lightrag.utils"), "handle_cache", None)
    if own is not None:
        watched = _watched(own)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "lightrag" and vars(module).get("handle_cache") is own:
                patches.plan(module, "handle_cache", watched)
    return patches


def _watched(own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    async def handle_cache(storage: Any, args_hash: str, prompt: str, *args: Any, **kwargs: Any) -> Any:
        found = await own(storage, args_hash, prompt, *args, **kwargs)
        try:
            key = (id(storage), args_hash)
            if not found or found[0] is None:
                missed.set((*missed.get(), key)[-_MOST_MISSED:])
            else:
                kind = kwargs.get("cache_type") or (args[1] if len(args) > 1 else None)
                _note(key, _ROLES.get(str(kind), kind), prompt, str(found[0]))
        except BaseException as exc:  # noqa: BLE001 - the quick way to say `with guard(...)`
            keep("noting what LightRAG's cache had", exc)
        return found

    return handle_cache


def _note(key: _Key, role: str | None, prompt: str, answer: str) -> None:
    with _lock:
        paid = _paid.get(key)
    estimated = paid is None
    if paid is None:
        paid = _Paid(estimate_chat([prompt], answer, None).total_tokens or 0, role, None)
    record_cache_hit(paid.tokens, role=paid.role, operation="chat", model=paid.model, estimated=estimated)
