"""Hooks into RAGFlow's components and tools: whose call of a model it is."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, current_scope
from ragmeter.context import within
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.ragflow.hooks import Hooks

__all__ = ["find_owners", "install_component", "install_tools", "owners"]

owners: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()
"""Bundle: labels of the component that it belongs to."""


def find_owners(canvas: Any) -> None:
    """Note which component each bundle belongs to; a component that streams calls its model after it has returned."""
    for name, component in (getattr(canvas, "components", None) or {}).items():
        _find_owner(name, component.get("obj") if isinstance(component, dict) else None, {})


def _find_owner(component: str, obj: Any, labels: dict[str, str]) -> None:
    for value in list(getattr(obj, "__dict__", {}).values()):
        if hasattr(value, "mdl") and hasattr(value, "tenant_id"):
            owners[value] = {"component": component, **labels}
    tools = getattr(obj, "tools", None)
    if isinstance(tools, dict):
        for name, tool in tools.items():
            _find_owner(component, tool, {"tool": str(name)})


def install_component(hooks: Hooks, base: Any) -> None:
    """Label the calls of each component with its id."""
    for method, wrapper in (("invoke", _labelled), ("invoke_async", _labelled_async)):
        original = vars(base).get(method)
        if original is not None:
            hooks.set(base, method, wrapper(original, _component_labels))


def install_tools(hooks: Hooks, session: Any) -> None:
    """Label the calls of each tool with its name."""
    original = vars(session).get("tool_call_async")
    if original is not None:
        hooks.set(session, "tool_call_async", _labelled_async(original, _tool_labels))


def _component_labels(component: Any, *_: Any) -> dict[str, str | None]:
    return {"component": _name(getattr(component, "_id", None))}


def _tool_labels(_: Any, args: Any, kwargs: Any) -> dict[str, str | None]:
    return {"tool": _name(args[0] if args else kwargs.get("name"))}


def _name(value: Any) -> str | None:
    return str(value) if value else None


def _scope(labels: Callable[..., dict[str, str | None]], *arguments: Any) -> Scope | None:
    with guard("labelling a component of RAGFlow"):
        around = current_scope()
        if around is not None and around.run is not None:
            return Scope(None, around, **labels(*arguments))
    return None


def _labelled(original: Callable[..., Any], labels: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def labelled(self: Any, *args: Any, **kwargs: Any) -> Any:
        scope = _scope(labels, self, args, kwargs)
        if scope is None:
            return original(self, *args, **kwargs)
        with within(scope):
            return original(self, *args, **kwargs)

    return labelled


def _labelled_async(original: Callable[..., Any], labels: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def labelled(self: Any, *args: Any, **kwargs: Any) -> Any:
        scope = _scope(labels, self, args, kwargs)
        if scope is None:
            return await original(self, *args, **kwargs)
        with within(scope):
            return await original(self, *args, **kwargs)

    return labelled
