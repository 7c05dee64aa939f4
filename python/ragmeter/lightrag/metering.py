"""Metering a LightRAG: its hooks are made once, put in place when somebody wants it metered, and taken out again."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

from ragmeter._native import hold_all, release_all
from ragmeter.lightrag import cache, one_queue, roles
from ragmeter.lightrag.anything import anything_of, is_anything
from ragmeter.lightrag.documents import Documents
from ragmeter.lightrag.families import family
from ragmeter.lightrag.hooks import embedding_call, layered, rerank_call, stand_in
from ragmeter.lightrag.owners import Owners
from ragmeter.observe import instrument
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragmeter.lightrag.families import Family

__all__ = ["Metered", "bare", "documents_of", "held", "install", "uninstall"]

_lock = threading.RLock()


class Metered:
    """Stands around a LightRAG or a RAG-Anything, which is its `_rag`."""

    _rag: Any


def bare(rag: Any) -> Any:
    """Return what a metered LightRAG or RAG-Anything stands around; one that is not, as it is."""
    return rag._rag if isinstance(rag, Metered) else rag


def install(rag: Any) -> None:
    """Meter everything `rag` does from now on, until `uninstall`. Calls count in the run they are made in.

    Args:
        rag: A LightRAG, or a RAG-Anything with the LightRAG that it has or will make.

    Raises:
        RuntimeError: No hook fits this release; the text says what is missing.
    """
    rag = bare(rag)
    if is_anything(rag):
        anything_of(rag, install, uninstall).hold(rag)
        return
    with _lock:
        _hold(rag, documents=True)


def uninstall(rag: Any) -> None:
    """Take back one `install`. After the last one the LightRAG is the same, object by object, as before the first."""
    rag = bare(rag)
    if is_anything(rag):
        anything_of(rag, install, uninstall).release()
        return
    with _lock:
        hooks = _hooks_of(rag)
        if hooks is not None and hooks.are_held:
            _release(rag, hooks.sets(rag, documents=True))


class held:  # noqa: N801 - reads as a verb
    """Meter what `rag` does in a block. Blocks may overlap, those of one object too.

    Args:
        rag: A LightRAG or a RAG-Anything.
        documents: Whether documents may come and go in it; a question leaves them alone.
    """

    __slots__ = ("_documents", "_is_anything", "_rag", "_sets")

    def __init__(self, rag: Any, *, documents: bool = True) -> None:
        self._rag = rag
        self._documents = documents
        self._is_anything = is_anything(rag)
        self._sets: Sequence[Patches] = ()

    def __enter__(self) -> None:
        if self._is_anything:
            install(self._rag)
            return
        with _lock:
            # What was held the last time still fits, nearly always.
            if not (self._sets and hold_all(self._sets)):
                self._sets = _hold(self._rag, documents=self._documents)

    def __exit__(self, *exc_info: object) -> None:
        if self._is_anything:
            uninstall(self._rag)
            return
        with _lock:
            _release(self._rag, self._sets)


def _hold(rag: Any, *, documents: bool) -> Sequence[Patches]:
    """Put the hooks of `rag` in place, those that it has if they still fit, and return what was put in place."""
    hooks = _hooks_of(rag)
    if hooks is None or not hooks.fit():
        hooks = _Hooks(rag)
        instrument()  # whatever SDK its model functions call
    sets = hooks.sets(rag, documents=documents)
    hold_all(sets)
    return sets


def _release(rag: Any, sets: Sequence[Patches]) -> None:
    """Take back one `_hold`; what nobody holds any more is taken out."""
    if not release_all(sets):
        roles.rebuild(rag)


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
        self.documents = Documents()
        self._owners = Owners()
        self._models = Patches()
        self._watches = self._plan_watches(rag)
        if self._family.name == "roles":
            roles.plan(rag, self, self._models)
        else:
            one_queue.plan(rag, self, self._family, self._models)
        if rag.embedding_func is not None:
            self._plan_embedding(rag, rag.embedding_func)
        if getattr(rag, "rerank_model_func", None) is not None:
            self._plan_rerank(rag, rag.rerank_model_func)

    @property
    def are_held(self) -> bool:
        """Whether anybody holds them in place."""
        return self._models.holders > 0

    def fit(self) -> bool:
        """Whether the model functions are still those that they were made for."""
        return self._models.fit()

    def sets(self, rag: Any, *, documents: bool) -> Sequence[Patches]:
        """Return what is to be put in place, what watches the documents too if asked."""
        if documents and not self._watches.fit():
            self._watches = self._plan_watches(rag)
        watches = (self._watches,) if documents else ()
        return self._models, *watches, cache.watch()

    def _plan_watches(self, rag: Any) -> Patches:
        """Plan to watch the documents of `rag`, and the texts that wait to be embedded."""
        watches = Patches()
        self.documents.plan(rag, watches)
        self._owners.plan(rag, watches)
        return watches

    def _plan_embedding(self, rag: Any, embed: Any) -> None:
        bare = inspect.isfunction(embed)
        call = functools.partial(embedding_call, getattr(embed, "model_name", None))
        metered = stand_in(rag, self._family, "embedding", embed if bare else embed.func, call)
        metered.ragmeter_owners = self._owners
        if bare:
            self._plan_bare_embedding(rag, embed, metered, call)
        else:
            self._models.plan(embed, "func", metered)

    def _plan_bare_embedding(self, rag: Any, embed: Any, metered: Any, call: Any) -> None:
        """Until 1.4.9 it is a bare function, each storage holds it by itself, and some call what is behind it."""
        behind = getattr(metered, "func", None)
        if callable(behind) and not hasattr(behind, "ragmeter_metered"):
            metered.func = layered(behind, lambda inner: inner, call)
            metered.func.ragmeter_owners = metered.ragmeter_owners
        for holder in (rag, *vars(rag).values()):
            if getattr(holder, "__dict__", {}).get("embedding_func") is embed:
                self._models.plan(holder, "embedding_func", metered)

    def _plan_rerank(self, rag: Any, own: Any) -> None:
        metered = stand_in(rag, self._family, "rerank", own, rerank_call)
        self._models.plan(rag, "rerank_model_func", metered)
        # Queries read it from the configuration that the storages have shared since the LightRAG was made.
        for config in _storage_configs(rag):
            if config.get("rerank_model_func") is own:
                self._models.plan(config, "rerank_model_func", metered)


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
