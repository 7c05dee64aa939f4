"""Roles: LightRAG 1.5 and later has a queue a role, and rebuilds it where the role is configured anew."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter.lightrag.hooks import layered, model_call
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["plan", "rebuild"]


def plan(rag: Any, hooks: Any, patches: Patches) -> None:
    """Plan to meter every role of `rag`, also those that are rebuilt meanwhile. `hooks` are kept on their functions."""
    wrap = _wrapper(weakref.ref(rag), hooks)
    patches.plan(rag, "_wrap_llm_role_func", wrap)
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
            own.ragmeter_hooks = metered.ragmeter_hooks = hooks
            patches.plan(state, "wrapped", metered)
    finally:
        building.undo()


def rebuild(rag: Any) -> None:
    """Rebuild, without the meter, the roles that LightRAG has rebuilt with it, if it has roles."""
    for role, state in (getattr(rag, "_role_llm_states", None) or {}).items():
        if hasattr(state.wrapped, "ragmeter_metered"):
            rag._rebuild_single_role_llm_func(role)


def _wrapper(rag_ref: weakref.ref[Any], hooks: Any) -> Callable[..., Any]:
    def _wrap_llm_role_func(role_name: str, raw_func: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        rag: Any = rag_ref()

        def queue(inner: Callable[..., Awaitable[Any]]) -> Any:
            return type(rag)._wrap_llm_role_func(rag, role_name, inner, *args, **kwargs)

        call = functools.partial(model_call, role_name, getattr(rag, "llm_model_name", None))
        metered = layered(raw_func, queue, call)
        metered.ragmeter_hooks = hooks
        return metered

    return _wrap_llm_role_func
