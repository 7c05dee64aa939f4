"""Numbers: the metrics object of a request, from its run, and of an upload, from the ledger."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ragmeter._native import LedgerError, Usage
from ragmeter.lightrag.tracker import langfuse_block, metrics, metrics_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragmeter._native import Run
    from ragmeter.ledger import Ledger

__all__ = ["log", "of_nothing", "of_run", "of_upload"]

_log = logging.getLogger("lightrag.ragmeter")
"""Below LightRAG's own, so that it is written where the server writes."""

_NO_COUNTS = ("total_tokens", "origin", "provider", "model", "response_id", "flags")


def of_run(run: Run) -> dict[str, Any]:
    """Return the metrics object of a request: see `ragmeter.lightrag.tracker.metrics`, and what each role took."""
    return {**metrics(run), "by_role": _by_role(run.by("role"))}


def of_nothing() -> dict[str, Any]:
    """Return the metrics object of no call at all."""
    return _of([])


def log(title: str, found: Mapping[str, Any]) -> None:
    """Write a metrics object to the server's log, as the block that Langfuse shows."""
    _log.info("%s\n%s", title, langfuse_block(dict(found)))


def of_upload(ledger: Ledger, track_id: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the metrics object of an upload and those of its documents by id, as far as the ledger has them.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    by = ("document", "role", "operation", "model")
    try:
        found = ledger.document(track_id, by)
    except LedgerError:
        ledger.check()  # nobody has written to it yet, or it was made by an older ragmeter
        found = ledger.document(track_id, by)
    rows: dict[str | None, list[tuple[Any, _Sum]]] = {}
    for row in found:
        key = (row["role"], row["operation"], row["model"])
        rows.setdefault(row["document"], []).append((key, _Sum.of(row)))
    whole = _of([row for document in rows.values() for row in document])
    return whole, {document: _of(found) for document, found in rows.items() if document is not None}


@dataclass(frozen=True, slots=True)
class _Sum:
    """A row of the ledger, to be added up like the totals of a run."""

    usage: Usage
    calls: int
    reported_calls: int
    estimated_calls: int
    unknown_calls: int
    cache_hits: int
    saved_tokens: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Sum:
        counts = {name: count for name, count in row["usage"].items() if name not in _NO_COUNTS}
        return cls(Usage(**counts), **{field.name: row[field.name] for field in fields(cls)[1:]})

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def _of(rows: list[tuple[Any, _Sum]]) -> dict[str, Any]:
    by_kind: dict[Any, Any] = {}
    by_role: dict[Any, Any] = {}
    for (role, *kind), totals in rows:
        _add(by_kind, tuple(kind), totals)
        _add(by_role, role, totals)
    return {**metrics_of(by_kind), "by_role": _by_role(by_role)}


def _add(sums: dict[Any, Any], key: Any, totals: _Sum) -> None:
    sums[key] = sums[key] + totals if key in sums else totals


def _by_role(totals: Mapping[Any, Any]) -> dict[str, dict[str, int]]:
    return {
        role or "other": {
            "prompt_tokens": part.usage.input_tokens or 0,
            "completion_tokens": part.usage.output_tokens or 0,
            "total_tokens": part.usage.total_tokens or 0,
            "call_count": part.calls,
        }
        for role, part in sorted(totals.items(), key=lambda item: item[0] or "")
    }
