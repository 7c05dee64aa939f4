"""RAG-Anything: a LightRAG, and models beside it that describe pictures, tables and formulas.

The LightRAG inside is metered like any other, from when it is made. The functions that describe are wrapped where they
are called: at the processors, and for questions about pictures at the RAG-Anything itself.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, current_scope
from ragmeter.context import within
from ragmeter.lightrag.hooks import layered, model_call
from ragmeter.meter import guard
from ragmeter.observe.patch import Patches

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OPERATIONS", "Anything", "anything_of", "is_anything"]

OPERATIONS = frozenset({
    "query", "query_with_multimodal", "query_vlm_enhanced", "insert_content_list", "process_document_complete",
    "process_document_complete_lightrag_api", "process_folder_complete", "process_documents_with_rag_batch",
})  # fmt: skip
"""Public methods that may call a model; of the questions each also exists with an `a` in front."""

_REQUIRED = ("lightrag", "modal_processors", "_ensure_lightrag_initialized", "_process_multimodal_content")

_known: dict[int, tuple[weakref.ref[Any], Anything]] = {}
_lock = threading.RLock()


def is_anything(rag: Any) -> bool:
    """Whether this is a RAG-Anything."""
    return any(base.__module__.partition(".")[0] == "raganything" for base in type(rag).__mro__)


def anything_of(rag: Any, install: Callable[[Any], None], uninstall: Callable[[Any], None]) -> Anything:
    """Return the hooks of a RAG-Anything, made if it has none.

    Args:
        rag: The RAG-Anything.
        install: Meters the LightRAG inside.
        uninstall: Takes that back.

    Raises:
        RuntimeError: No hook fits this release of RAG-Anything; the text says what is missing.
    """
    with _lock:
        known, hooks = _known.get(id(rag), (None, None))
        if hooks is None or known is None or known() is not rag:
            hooks = Anything(rag, install, uninstall)
            # A RAG-Anything compares by value, so it is no key of a dict.
            _known[id(rag)] = (weakref.ref(rag, functools.partial(_forget, id(rag))), hooks)
        return hooks


def _forget(key: int, _: object) -> None:
    _known.pop(key, None)


class Anything:
    """The hooks of one RAG-Anything: in place while somebody holds them."""

    def __init__(self, rag: Any, install: Callable[[Any], None], uninstall: Callable[[Any], None]) -> None:
        missing = [name for name in _REQUIRED if not hasattr(rag, name)]
        if missing:
            msg = f"ragmeter cannot meter this release of RAG-Anything: it has no {', '.join(missing)}"
            raise RuntimeError(msg)
        self._install, self._uninstall = install, uninstall
        self._holders = 0
        self._around = Patches()
        self._inside: list[Patches] = []
        self._lightrag: Any = None
        self._llm: Any = None

    def hold(self, rag: Any) -> None:
        """Put the hooks in place."""
        with _lock:
            if self._holders == 0:
                self._around = Patches()
                self._plan(rag, self._around)
                self._around.apply()
                try:
                    self._join(rag)
                except BaseException:
                    self._remove()
                    raise
            self._holders += 1

    def release(self) -> None:
        """Take back one `hold`; after the last one everything is, object by object, as before the first."""
        with _lock:
            if self._holders == 1:
                self._remove()
            self._holders = max(self._holders - 1, 0)

    def _remove(self) -> None:
        for patches in reversed(self._inside):
            patches.undo()
        self._inside.clear()
        self._around.undo()
        if self._lightrag is not None:
            self._uninstall(self._lightrag)
            self._lightrag = None

    def _plan(self, rag: Any, patches: Patches) -> None:
        rag_ref = weakref.ref(rag)
        for name, wrapper in (
            ("_ensure_lightrag_initialized", self._ensure),
            ("_process_multimodal_content", _document),
        ):
            patches.plan(rag, name, wrapper(rag_ref, getattr(type(rag), name)))
        if rag.vision_model_func is not None:
            patches.plan(rag, "vision_model_func", _metered(rag.vision_model_func, "query"))

    def _ensure(self, rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own)
        async def _ensure_lightrag_initialized(*args: Any, **kwargs: Any) -> Any:
            rag = rag_ref()
            answer = await own(rag, *args, **kwargs)
            with guard("metering the LightRAG of a RAG-Anything"), _lock:
                if self._holders:
                    self._join(rag)
            return answer

        return _ensure_lightrag_initialized

    def _join(self, rag: Any) -> None:
        """Meter the LightRAG inside, and the processors, as far as they are there."""
        if rag.lightrag is None:
            return
        if self._lightrag is None:
            self._llm = getattr(rag.lightrag, "llm_model_func", None)
            self._install(rag.lightrag)
            self._lightrag = rag.lightrag
        patches = Patches()
        processors = {id(processor): processor for processor in rag.modal_processors.values()}
        for processor in processors.values():
            self._plan_processor(rag, processor, patches)
        self._inside.append(patches)
        patches.apply()

    def _plan_processor(self, rag: Any, processor: Any, patches: Patches) -> None:
        describe = processor.modal_caption_func
        if getattr(describe, "ragmeter_processor", False):
            return
        # Made while the hooks were in place, it has taken what stands in for a function; give it the function.
        stand_in = getattr(rag.lightrag, "llm_model_func", None)
        if stand_in is not self._llm and describe is stand_in:
            processor.modal_caption_func = describe = self._llm
        describe = processor.modal_caption_func = getattr(describe, "ragmeter_raw", describe)
        if describe is self._llm:
            metered = stand_in  # LightRAG's own, behind its queue
        else:
            vision = getattr(rag.vision_model_func, "ragmeter_raw", rag.vision_model_func)
            metered = _metered(describe, "vlm" if describe is vision else "analysis")
            metered.ragmeter_processor = True
        patches.plan(processor, "modal_caption_func", metered)
        config = getattr(processor, "global_config", None)
        if isinstance(config, dict) and config.get("llm_model_func") in {self._llm, stand_in}:
            config["llm_model_func"] = self._llm
            patches.plan(config, "llm_model_func", stand_in)


def _metered(raw: Callable[..., Any], role: str) -> Any:
    metered = layered(raw, lambda inner: inner, functools.partial(model_call, role, None))
    metered.ragmeter_raw = raw
    return metered


def _document(rag_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the work on the pictures, tables and formulas of a document: its calls carry the document's labels."""
    signature = inspect.signature(own)

    @functools.wraps(own)
    async def _process_multimodal_content(*args: Any, **kwargs: Any) -> Any:
        rag: Any = rag_ref()
        scope = current_scope()
        with guard("labelling a document"):
            given = signature.bind(rag, *args, **kwargs).arguments
            document, file_path = given.get("doc_id"), given.get("file_path")
            row = await rag.lightrag.doc_status.get_by_id(document) if rag.lightrag is not None else None
            track_id = row.get("track_id") if isinstance(row, dict) else getattr(row, "track_id", None)
            scope = Scope(None, scope, document=document, file_path=file_path, track_id=track_id)
        with within(scope):
            return await own(rag, *args, **kwargs)

    return _process_multimodal_content
