"""Owners: whose document each text is that LightRAG embeds.

LightRAG embeds late: rows wait in a buffer of their storage, and the document that happens to flush it embeds the rows
of others with its own. So the owner is noted when a row enters the buffer, the last writer of a text like the buffer
itself, and looked up when the text is embedded.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import count_tokens, current_scope
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragmeter.observe.patch import Patches

__all__ = ["Owners"]

_STORAGES = ("chunks_vdb", "entities_vdb", "relationships_vdb")
_LABELS = ("document", "track_id", "file_path")


class Owners:
    """The owners of the texts that wait to be embedded in one LightRAG."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, str]] = {}

    def plan(self, rag: Any, patches: Patches) -> None:
        """Plan to watch rows enter the buffers of `rag`."""
        for name in _STORAGES:
            storage = getattr(rag, name, None)
            if storage is not None:
                patches.plan(storage, "upsert", self._upsert(weakref.ref(storage), type(storage).upsert))

    def _upsert(self, storage_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        async def upsert(data: dict[str, dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
            with guard("noting whose a row is"):
                labels = _current_labels()
                for row in data.values():
                    content = row.get("content")
                    if isinstance(content, str):
                        self._note(content, labels if "document" in labels else _with_document_of(row, labels))
            return await own(storage_ref(), data, *args, **kwargs)

        return upsert

    def _note(self, text: str, labels: dict[str, str]) -> None:
        if labels:
            self._of[text] = labels
        else:
            self._of.pop(text, None)

    def shares(self, texts: Sequence[str]) -> list[tuple[dict[str, str], int]] | None:
        """Divide an embedding call among the owners of its texts, by the tokens of each; None where it has one."""
        if not self._of:
            return None
        around = _current_labels()
        owners = [self._of.get(text, around) for text in texts]
        if all(owner == around for owner in owners):
            return None
        weights: dict[tuple[str | None, ...], tuple[dict[str, str], int]] = {}
        for text, owner in zip(texts, owners, strict=True):
            key = tuple(owner.get(name) for name in _LABELS)
            weights[key] = (owner, weights.get(key, (owner, 0))[1] + count_tokens(text))
        return list(weights.values())

    def noted(self, texts: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return who owns which of `texts`, to be forgotten when they are embedded."""
        return {text: self._of[text] for text in texts if text in self._of}

    def forget(self, noted: dict[str, dict[str, str]]) -> None:
        """Forget texts that have been embedded, unless another document has written the same text meanwhile."""
        for text, owner in noted.items():
            if self._of.get(text) is owner:
                del self._of[text]


def _current_labels() -> dict[str, str]:
    scope = current_scope()
    if scope is None:
        return {}
    labels = scope.labels
    return {name: labels[name] for name in _LABELS if name in labels}


def _with_document_of(row: dict[str, Any], labels: dict[str, str]) -> dict[str, str]:
    """Add what a row says of its document, where nobody else has said it: chunks that users bring along."""
    document, file_path = row.get("full_doc_id"), row.get("file_path")
    if not document:
        return labels
    return {**labels, "document": document, **({"file_path": file_path} if file_path else {})}
