"""Catalog: the factories and their models, from a `llm_factories.json` of RAGFlow's format, in the database."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ragmeter.meter import logger
from ragmeter.tenants.models import MODEL_TYPES, model_type
from ragmeter.tenants.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ragmeter.ledger import Ledger

__all__ = ["Catalog"]

_HIDDEN = frozenset({"Youdao", "FastEmbed", "BAAI", "Builtin"})
"""Factories that run inside RAGFlow and take no key."""


class Catalog:
    """Which factories there are, and which models they offer.

    Args:
        ledger: Whose database it is in. An empty catalog is filled with the one that ships with ragmeter.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._factories = Rows(ledger, "factories", ("name", "logo", "tags", "status", "rank_at", "url"), ("name",))
        self._models = Rows(
            ledger,
            "models",
            ("llm_factory", "llm_name", "model_type", "max_tokens", "tags", "is_tools", "status"),
            ("llm_factory", "llm_name", "model_type"),
        )
        self._known: frozenset[str] | None = None

    @property
    def known(self) -> frozenset[str]:
        """Names of factories, from memory: those that ship and those that were read or loaded last."""
        if self._known is None:
            self._known = frozenset(entry["name"] for entry in _shipped()["factory_llm_infos"])
        return self._known

    def load(self, path: Path | None = None) -> int:
        """Take the factories of a file, in the place of those of the same names; how many.

        Args:
            path: A `llm_factories.json`; None for the one that ships with ragmeter.

        Raises:
            ValueError: The file has another form.
        """
        content = _shipped() if path is None else json.loads(path.read_text(encoding="utf-8"))
        entries = content.get("factory_llm_infos") if isinstance(content, dict) else None
        if not isinstance(entries, list):
            msg = "a catalog is {'factory_llm_infos': [{'name': …, 'llm': […]}]}"
            raise ValueError(msg)
        entries = [entry for entry in entries if isinstance(entry, dict) and _is_name(entry.get("name"))]
        # Read before the first is deleted: a file of another form changes nothing.
        factories = [_factory(entry) for entry in entries]
        models = [model for entry in entries for model in _models(entry)]
        for factory in factories:
            self._models.delete(llm_factory=factory["name"])
        self._models.put(models)
        self._factories.put(factories)
        self._known = self.known | {entry["name"] for entry in entries}
        return len(entries)

    def _all(self) -> list[dict[str, Any]]:
        found = self._factories.find()
        if not found:
            self.load()
            found = self._factories.find()
        self._known = self.known | {row["name"] for row in found}
        return found

    def factory(self, name: str) -> dict[str, Any] | None:
        """Return a factory, or None if there is none of that name."""
        return next((row for row in self._all() if row["name"] == name), None)

    def factories(self) -> list[dict[str, Any]]:
        """Return what `GET …/factories` answers: those that take a key, the highest rank first."""
        types: dict[str, set[str]] = {}
        rows = [row for row in self._all() if row["status"] and row["name"] not in _HIDDEN]
        for model in self._models.find(status=1):
            types.setdefault(model["llm_factory"], set()).add(model["model_type"])
        return [
            {
                "name": row["name"],
                "logo": row["logo"],
                "tags": row["tags"],
                "status": "1",
                "rank": row["rank_at"],
                "model_types": sorted(types.get(row["name"]) or MODEL_TYPES, key=MODEL_TYPES.index),
            }
            for row in sorted(rows, key=lambda row: (-row["rank_at"], row["name"]))
        ]

    def models(self, factory: str) -> list[dict[str, Any]]:
        """Return the models of a factory."""
        self._all()
        return self._models.find(llm_factory=factory, status=1)


def _shipped() -> Any:
    return json.loads((files("ragmeter.tenants") / "llm_factories.json").read_text(encoding="utf-8"))


def _factory(entry: Mapping[str, Any]) -> dict[str, Any]:
    url = entry.get("url") or ""
    return {
        "name": entry["name"],
        "logo": entry.get("logo") or "",
        "tags": _tags(entry.get("tags")),
        "status": _is_on(entry),
        "rank_at": _number(entry.get("rank")) or 0,
        "url": (url.get("default") or next(iter(url.values()), "")) if isinstance(url, dict) else str(url),
    }


def _models(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    seen = set()
    models = entry.get("llm") or []
    if not isinstance(models, list):
        msg = f"the models of the factory {entry['name']!r} are no list: {models!r:.100}"
        raise ValueError(msg)
    for model in models:
        if not isinstance(model, dict):
            logger.warning(
                "ragmeter: a model of the catalog's %r is left out, for it is none: %.100r", entry["name"], model
            )
            continue
        name, kinds = model.get("llm_name"), model.get("model_type")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            try:
                found = model_type(str(kind))
            except ValueError as exc:
                logger.warning("ragmeter: the catalog's model %r is left out: %s", name, exc)
                continue
            if not _is_name(name) or (name, found) in seen:
                continue
            seen.add((name, found))
            yield {
                "llm_factory": entry["name"],
                "llm_name": name,
                "model_type": found,
                "max_tokens": _number(model.get("max_tokens")),
                "tags": _tags(model.get("tags")),
                "is_tools": int(bool(model.get("is_tools"))),
                "status": _is_on(model),
            }


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_on(entry: Mapping[str, Any]) -> int:
    return int(str(entry.get("status", "1")) == "1")


def _tags(tags: Any) -> str:
    return ",".join(map(str, tags)) if isinstance(tags, list) else str(tags or "")


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
