"""One queue: LightRAG up to 1.4 sends every model call through one function, which each operation looks up anew.

A question may bring a model function of its own, which passes by that queue.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter.lightrag.hooks import layered, model_call, stand_in
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.lightrag.families import Family
    from ragmeter.observe.patch import Patches

__all__ = ["plan"]

_QUESTIONS = ("aquery", "aquery_data", "aquery_llm", "aquery_with_separate_keyword_extraction")


def plan(rag: Any, hooks: Any, family: Family, patches: Patches) -> None:
    """Plan to meter the model function of `rag` and those that its questions bring. `hooks` are kept on the former."""
    own = rag.llm_model_func
    call = functools.partial(model_call, None, getattr(rag, "llm_model_name", None))
    metered = stand_in(rag, family, "llm", own, call)
    own.ragmeter_hooks = metered.ragmeter_hooks = hooks
    patches.plan(rag, "llm_model_func", metered)
    for name in _QUESTIONS:
        method = getattr(type(rag), name, None)
        if inspect.iscoroutinefunction(method):
            patches.plan(rag, name, _question(weakref.ref(rag), method))


def _question(rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    async def question(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if getattr(value, "model_func", None) is not None:
                with guard("metering the model function of a question"):
                    args = tuple(map(_metered, args))
                    kwargs = {name: _metered(value) for name, value in kwargs.items()}
                break
        return await own(rag_ref(), *args, **kwargs)

    return question


def _metered(param: Any) -> Any:
    """Return a `QueryParam` whose model function is metered; anything else, and one without, as it is."""
    raw = getattr(param, "model_func", None)
    if raw is None or hasattr(raw, "ragmeter_metered"):
        return param
    param = copy.copy(param)
    param.model_func = layered(raw, lambda inner: inner, functools.partial(model_call, None, None))
    return param
