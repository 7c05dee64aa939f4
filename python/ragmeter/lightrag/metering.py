"""Metering a LightRAG: its hooks are made once, put in place when somebody wants it metered, and taken out again."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

from ragmeter.lightrag import cache, one_queue, roles
from ragmeter.lightrag.anything import anything_of, is_anything
from ragmeter.lightrag.documents import Documents
from ragmeter.lightrag.families import family
from ragmeter.lightrag.hooks import embedding_call, layered, rerank_call, stand_in
from ragmeter.lightrag.owners import Owners
from ragmeter.observe import instrument
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.lightrag.families import Family

__all__ = ["documents_of", "held", "install", "uninstall"]

_lock = threading.RLock()


def install(rag: Any) -> None:
    """Meter everything `rag` does from now on, until `uninstall`. Calls count in the run they are made in.

    Args:
        rag: A LightRAG, or a RAG-Anything with the LightRAG that it has or will make.

    Raises:
        RuntimeError: No hook fits this release; the text says what is missing.
    """
    if is_anything(rag):
        anything_of(rag, install, uninstall).hold(rag)
        return
    with _lock:
        hooks = _hooks_of(rag)
        if hooks is None or (hooks.holders == 0 and not hooks.patches.fit()):
            hooks = _Hooks(rag)
            instrument()  # whatever SDK its model functions call
        if hooks.holders == 0:
            hooks.patches.apply()
            cache.hold()
        hooks.holders += 1


def uninstall(rag: Any) -> None:
    """Take back one `install`. After the last one the LightRAG is the same, object by object, as before the first."""
    if is_anything(rag):
        anything_of(rag, install, uninstall).release()
        return
    with _lock:
        hooks = _hooks_of(rag)
        if hooks is not None and hooks.holders > 0:
            hooks.holders -= 1
            if hooks.holders == 0:
                cache.release()
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


def documents_of(rag: Any) -> Documents | None:
    """Return the documents of a LightRAG that is or was metered, or of the one in a RAG-Anything."""
    hooks = _hooks_of(rag.lightrag if is_anything(rag) else rag)
    return hooks.documents if hooks is not None else None


def _hooks_of(rag: Any) -> _Hooks | None:
    """The hooks of a LightRAG, if it ever had any.

    They hang on its model functions, its own and those that stand in for them, so that they live and die with it.
    """
    for function in _model_functions(rag):
        hooks: _Hooks | None = getattr(function, "ragmeter_hooks", None)
        if hooks is not None:
            return hooks
    return None


def _model_functions(rag: Any) -> Iterator[Any]:
    for state in (getattr(rag, "_role_llm_states", None) or {}).values():
        yield state.wrapped
    yield getattr(rag, "llm_model_func", None)


class _Hooks:
    """The hooks of one LightRAG: what stands in for what, made once and put in place for each operation."""

    def __init__(self, rag: Any) -> None:
        self._family = family(type(rag))
        _check(rag, self._family)
        self.holders = 0
        self.patches = Patches()
        self.documents = Documents()
        if self._family.name == "roles":
            roles.plan(rag, self, self.patches)
        else:
            one_queue.plan(rag, self, self._family, self.patches)
        self.documents.plan(rag, self.patches)
        if rag.embedding_func is not None:
            self._plan_embedding(rag, rag.embedding_func)
        if getattr(rag, "rerank_model_func", None) is not None:
            self._plan_rerank(rag, rag.rerank_model_func)

    def _plan_embedding(self, rag: Any, embed: Any) -> None:
        owners = Owners()
        bare = inspect.isfunction(embed)
        call = functools.partial(embedding_call, getattr(embed, "model_name", None))
        metered = stand_in(rag, self._family, "embedding", embed if bare else embed.func, call)
        metered.ragmeter_owners = owners
        if bare:
            self._plan_bare_embedding(rag, embed, metered, call)
        else:
            self.patches.plan(embed, "func", metered)
        owners.plan(rag, self.patches)

    def _plan_bare_embedding(self, rag: Any, embed: Any, metered: Any, call: Any) -> None:
        """Until 1.4.9 it is a bare function, each storage holds it by itself, and some call what is behind it."""
        behind = getattr(metered, "func", None)
        if callable(behind) and not hasattr(behind, "ragmeter_metered"):
            metered.func = layered(behind, lambda inner: inner, call)
            metered.func.ragmeter_owners = metered.ragmeter_owners
        for holder in (rag, *vars(rag).values()):
            if getattr(holder, "__dict__", {}).get("embedding_func") is embed:
                self.patches.plan(holder, "embedding_func", metered)

    def _plan_rerank(self, rag: Any, own: Any) -> None:
        metered = stand_in(rag, self._family, "rerank", own, rerank_call)
        self.patches.plan(rag, "rerank_model_func", metered)
        # Queries read it from the configuration that the storages have shared since the LightRAG was made.
        for config in _storage_configs(rag):
            if config.get("rerank_model_func") is own:
                self.patches.plan(config, "rerank_model_func", metered)

    def remove(self, rag: Any) -> None:
        if not self.patches.undo() and self._family.name == "roles":
            roles.rebuild(rag)


def _check(rag: Any, found: Family) -> None:
    """Refuse a LightRAG that has not become what its class promised.

    Raises:
        RuntimeError: It has not.
    """
    missing = [name for name in ("embedding_func", "doc_status") if not hasattr(rag, name)]
    if found.name == "roles":
        missing += [] if getattr(rag, "_role_llm_states", None) else ["_role_llm_states"]
    elif not found.limited(rag.llm_model_func):
        missing.append(f"llm_model_func behind {found.limiter}")
    if missing:
        msg = f"ragmeter cannot meter this {type(rag).__name__}: it has no {', '.join(missing)}"
        raise RuntimeError(msg)


def _storage_configs(rag: Any) -> list[dict[str, Any]]:
    """The configurations that the storages of `rag` hold, each once."""
    configs = [getattr(storage, "global_config", None) for storage in vars(rag).values()]
    return list({id(config): config for config in configs if isinstance(config, dict)}.values())
