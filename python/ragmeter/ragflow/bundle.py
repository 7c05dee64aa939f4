"""Hooks into RAGFlow's `LLMBundle`: every call of it is opened, carried, reported and ended."""

from __future__ import annotations

import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Any

from ragmeter._native import scope_variable
from ragmeter.meter import QuotaError, guard
from ragmeter.ragflow.calls import OPERATIONS, BundleCall, bundle_call
from ragmeter.ragflow.component import owners
from ragmeter.ragflow.drive import drive, drive_sync
from ragmeter.ragflow.generations import Generations
from ragmeter.witness import call_variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["install_bundle", "install_model"]


def install_bundle(hooks: Hooks, bundle: Any) -> None:
    """Meter every method of the class `LLMBundle` that calls a model."""
    for method in OPERATIONS:
        original = vars(bundle).get(method)
        if original is not None:
            hooks.set(bundle, method, _metered(method, original))
    if "_report_usage" in vars(bundle):
        hooks.set(bundle, "_report_usage", _report(bundle._report_usage))
    if "_start_langfuse_observation" in vars(bundle):
        hooks.set(bundle, "_start_langfuse_observation", _observe(bundle._start_langfuse_observation))


def install_model(hooks: Hooks, model: Any) -> None:
    """Let objects of a model class keep their `last_usage` for each call, not for all calls of all tasks together."""

    def get(self: Any) -> Any:
        call = bundle_call()
        if call is not None and id(self) in call.last_usage:
            return call.last_usage[id(self)]
        try:
            return vars(self)["last_usage"]
        except KeyError:
            raise AttributeError("last_usage") from None

    def put(self: Any, value: Any) -> None:
        call = bundle_call()
        if call is None or "last_usage" not in vars(self):
            vars(self)["last_usage"] = value
        if call is not None:
            call.last_usage[id(self)] = value

    hooks.set(model, "last_usage", property(get, put))


def _open(bundle: Any, method: str, args: Any, kwargs: Any) -> BundleCall | None:
    """Open a call; None if that fails, and the host's own method runs alone."""
    with guard("opening a call of RAGFlow"):
        return BundleCall(bundle, method, args, kwargs, **owners.get(bundle, {}))
    return None


def _metered(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(original):
        return _async_generator(method, original)
    if inspect.iscoroutinefunction(original):
        return _coroutine(method, original)
    if inspect.isgeneratorfunction(original):
        return _generator(method, original)
    return _function(method, original)


def _end(call: BundleCall, delivered: str | None, used: Any = None, *, lost: bool = False) -> None:
    with guard("ending a call of RAGFlow"):
        call.end(delivered, used, lost=lost)
    with guard("ending a generation of Langfuse"):
        Generations.of(call).end(call)


def _failed(call: BundleCall, exc: BaseException, delivered: str | None = None) -> None:
    with guard("ending a call of RAGFlow"):
        call.leave()
        call.end(delivered, lost=not isinstance(exc, Exception))
    with guard("ending a generation of Langfuse"):
        Generations.of(call).end(call, exc)


def _coroutine(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def metered(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _open(self, method, args, kwargs)
        if call is None:
            return await original(self, *args, **kwargs)
        try:
            async with call:
                result = await original(self, *args, **kwargs)
        except BaseException as exc:
            _failed(call, exc)
            if isinstance(exc, QuotaError) and method == "async_chat":
                return exc.ragflow  # as the model itself says that it may not be called
            raise
        _end(call, result if isinstance(result, str) else "")
        return result

    return metered


def _function(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def metered(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _open(self, method, args, kwargs)
        if call is None:
            return original(self, *args, **kwargs)
        try:
            with call:
                result = original(self, *args, **kwargs)
        except BaseException as exc:
            _failed(call, exc)
            raise
        # Embeddings and ranks come with the number of tokens used, texts alone.
        used = result[1] if isinstance(result, tuple) and len(result) > 1 else None
        _end(call, result if isinstance(result, str) else "", used)
        return result

    return metered


def _async_generator(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    cumulative = method == "async_chat_streamly"

    @functools.wraps(original)
    async def metered(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _open(self, method, args, kwargs)
        if call is None:
            async for item in original(self, *args, **kwargs):
                yield item
            return
        try:
            await call.aadmit()
        except QuotaError as exc:
            _failed(call, exc)
            yield exc.ragflow
            return
        delivered: list[str] = []
        items = drive(_context(call), original(self, *args, **kwargs))
        try:
            async for item in items:
                if isinstance(item, str):
                    delivered[:] = [item] if cumulative else [*delivered, item]
                yield item
        except BaseException as exc:
            await items.aclose()
            _failed(call, exc, "".join(delivered))
            raise
        _end(call, "".join(delivered))

    return metered


def _generator(method: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def metered(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _open(self, method, args, kwargs)
        if call is None:
            result = yield from original(self, *args, **kwargs)
            return result
        try:
            call.admit()
        except QuotaError as exc:
            _failed(call, exc)
            raise
        text = ""
        items = drive_sync(_context(call), original(self, *args, **kwargs))
        try:
            for item in items:
                if isinstance(item, dict) and isinstance(item.get("text"), str):
                    text = item["text"]
                yield item
        except BaseException as exc:
            items.close()
            _failed(call, exc, text)
            raise
        _end(call, text)
        return None

    return metered


def _context(call: BundleCall) -> contextvars.Context:
    """A context of its own for a call that hands out one item after the other."""
    context = contextvars.copy_context()
    context.run(scope_variable.set, call.scope)
    context.run(call_variable.set, call)
    return context


def _report(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _report_usage(self: Any, total_tokens: Any, *args: Any, **kwargs: Any) -> Any:
        with guard("reporting usage"):
            call = bundle_call()
            if call is not None:
                return call.details(total_tokens)
        return original(self, total_tokens, *args, **kwargs)

    return _report_usage


def _observe(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _start_langfuse_observation(self: Any, **kwargs: Any) -> Any:
        generation = original(self, **kwargs)
        with guard("watching a generation of Langfuse"):
            call = bundle_call()
            if call is not None:
                return Generations.of(call).watch(generation)
        return generation

    return _start_langfuse_observation
