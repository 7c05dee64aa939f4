"""Owners: whose document each text is that LightRAG embeds.

LightRAG embeds late: rows wait in a buffer of their storage, and the document that happens to flush it embeds the rows
of others with its own. So the owner is noted when a row enters the buffer, the last writer of a text like the buffer
itself, and looked up when the text is embedded.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, count_tokens, current_scope
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from ragmeter.observe.patch import Patches

    Shares: TypeAlias = list[tuple[dict[str, str], int, Scope | None]]

__all__ = ["Owners"]

_STORAGES = ("chunks_vdb", "entities_vdb", "relationships_vdb")
_LABELS = ("document", "track_id", "file_path")


class Owners:
    """The owners of the texts that wait to be embedded in one LightRAG.

    Attributes:
        known: The scope that each text was written in.
    """

    def __init__(self) -> None:
        self.known: dict[str, Scope] = {}

    def plan(self, rag: Any, patches: Patches) -> None:
        """Plan to watch rows enter the buffers of `rag`."""
        for name in _STORAGES:
            storage = getattr(rag, name, None)
            if storage is not None:
                patches.plan(storage, "upsert", self._upsert(weakref.ref(storage), type(storage).upsert))

    def _upsert(self, storage_ref: weakref.ref[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        async def upsert(data: dict[str, dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
            with guard("noting whose a row is"):
                scope = current_scope()
                for row in data.values():
                    content = row.get("content")
                    if isinstance(content, str):
                        self._note(content, _with_document_of(row, scope))
            return await own(storage_ref(), data, *args, **kwargs)

        return upsert

    def _note(self, text: str, scope: Scope | None) -> None:
        if scope is not None:
            self.known[text] = scope
        else:
            self.known.pop(text, None)

    def shares(self, texts: Sequence[str], **labels: str) -> Shares | None:
        """Divide an embedding call among the owners of its texts, by the tokens of each; None where it has one.

        Args:
            texts: What is embedded.
            **labels: Labels of every share besides those of its owner.
        """
        around = current_scope()
        owners = [self.known.get(text, around) for text in texts]
        here = _key(around)
        if all(owner is around or _key(owner) == here for owner in owners):
            return None
        shares: dict[Any, tuple[dict[str, str], int, Scope | None]] = {}
        for text, owner in zip(texts, owners, strict=True):
            key = _key(owner)
            weight = shares[key][1] if key in shares else 0
            shares[key] = (labels, weight + count_tokens(text), owner)
        return list(shares.values())

    def shares_of_part(self, texts: Sequence[str], shares: Shares, part: Sequence[str], **labels: str) -> Shares | None:
        """Divide one of several requests that embed `texts`; those of bindings that send each text by itself.

        Args:
            texts: All texts of the call.
            shares: Who shares all of it, and any request that cannot be told apart.
            part: The texts of the request; a binding may have put something before them.
            **labels: Labels of every share besides those of its owner.
        """
        if 0 < len(part) < len(texts) and set(part) <= set(texts):
            return self.shares(part, **labels)
        return shares

    def noted(self, texts: Sequence[str]) -> dict[str, Scope]:
        """Return who owns which of `texts`, to be forgotten when they are embedded."""
        return {text: self.known[text] for text in texts if text in self.known}

    def forget(self, noted: dict[str, Scope]) -> None:
        """Forget texts that have been embedded, unless another document has written the same text meanwhile."""
        for text, owner in noted.items():
            if self.known.get(text) is owner:
                del self.known[text]


def _key(scope: Scope | None) -> Any:
    """What tells owners apart."""
    if scope is None:
        return None
    labels = scope.labels
    return (scope.run, *(labels.get(name) for name in _LABELS))


def _with_document_of(row: dict[str, Any], scope: Scope | None) -> Scope | None:
    """Add what a row says of its document, where nobody else has said it: chunks that users bring along."""
    document = row.get("full_doc_id")
    if not document or (scope is not None and "document" in scope.labels):
        return scope
    return Scope(None, scope, document=document, file_path=row.get("file_path") or None)
