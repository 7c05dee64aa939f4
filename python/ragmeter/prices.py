"""Prices: what a model's tokens cost, in exact decimals. An unknown price makes the cost unknown, never 0."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Prices"]

_MILLION = Decimal(1_000_000)
_KINDS = {
    "input": ("input_tokens", ("cache_read", "cache_write", "input_audio")),
    "output": ("output_tokens", ("output_audio",)),
}
"""Total: its count, and the subsets that may have a price of their own."""
_COUNTS = {
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
}
_NAMES = {
    "input": "input_mtok", "output": "output_mtok", "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok", "input_audio": "input_audio_mtok", "output_audio": "output_audio_mtok",
}  # fmt: skip
"""Our names and those of genai-prices."""


class Prices:
    """Dollars per million tokens, by model.

    Args:
        table: Model (or `provider/model`) to its prices: `{"gpt-4o-mini": {"input": "0.15", "output": "0.60",
            "cache_read": "0.075"}}`. Kinds: `input`, `output`, `cache_read`, `cache_write`, `input_audio`,
            `output_audio`; a subset without a price costs what its total costs.
        fall_back: Asked for models that the table does not name: provider and model to prices or None.

    Raises:
        ValueError: A price is no decimal number, or a kind does not exist.

    Example:
        >>> from ragmeter.prices import Prices
        >>> prices = Prices({"gpt-4o-mini": {"input": "0.15", "output": "0.60", "cache_read": "0.075"}})
        >>> prices.cost(None, "gpt-4o-mini", {"input_tokens": 2000, "cache_read_tokens": 1000, "output_tokens": 100})
        Decimal('0.000285')
    """

    def __init__(
        self,
        table: Mapping[str, Mapping[str, Any]] | None = None,
        fall_back: Callable[[str | None, str], Mapping[str, Any] | None] | None = None,
    ) -> None:
        self._table = {model: _checked(model, kinds) for model, kinds in (table or {}).items()}
        self._fall_back = fall_back
        self._found: dict[tuple[str | None, str], dict[str, Decimal] | None] = {}

    @classmethod
    def read(cls, path: str) -> Prices:
        """Read the table from a JSON file; its numbers are taken digit by digit."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal))

    @classmethod
    def bundled(cls, table: Mapping[str, Mapping[str, Any]] | None = None) -> Prices:
        """Return the prices of the package `genai-prices` (`pip install ragmeter[prices]`), `table` before them.

        A model whose price depends on the length of a request has no price here: sums do not tell the lengths.

        Raises:
            ImportError: The package is not installed.
        """
        from genai_prices import data_snapshot  # noqa: F401 - raises here, where it can be understood

        return cls(table, _genai_prices)

    def of(self, provider: str | None, model: str | None) -> dict[str, Decimal] | None:
        """Return the prices of a model, or None if they are unknown."""
        if model is None:
            return None
        for name in (f"{provider}/{model}", model):
            if name in self._table:
                return self._table[name]
        if self._fall_back is None:
            return None
        key = (provider, model)
        if key not in self._found:
            kinds = self._fall_back(provider, model)
            self._found[key] = _checked(model, kinds) if kinds else None
        return self._found[key]

    def cost(self, provider: str | None, model: str | None, usage: Mapping[str, Any]) -> Decimal | None:
        """Return what `usage` costs in dollars, or None if a price or a count that is needed is unknown."""
        prices = self.of(provider, model)
        if prices is None:
            return None
        cost, known = Decimal(0), False
        for total, (name, subsets) in _KINDS.items():
            count = usage.get(name)
            if count is None:
                if total == "output" and "output" not in prices:  # an embedding has no output
                    continue
                if total == "output" and usage.get("input_tokens") is not None and not prices["output"]:
                    continue
                return None
            if count and total not in prices:
                return None
            known = True
            left = count
            for kind in subsets:
                part = usage.get(_COUNTS[kind]) or 0
                if kind in prices and part:
                    part = min(part, left)
                    cost += prices[kind] * part
                    left -= part
            if left:
                cost += prices[total] * left
        return (cost / _MILLION).normalize() if known else None

    def fold(self, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
        """Add `cost` to rows told apart by provider and model too, and join those that `keys` do not tell apart.

        The cost of a joined row is unknown if that of one of them is; `priced_calls` says how many were priced.
        """
        joined: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            cost = self.cost(row.get("provider"), row.get("model"), row["usage"])
            if row["unknown_calls"]:
                cost = None
            priced = {**row, "cost": cost, "priced_calls": row["calls"] if cost is not None else 0}
            key = (row.get("at"), *(row.get(name) for name in keys))
            if key in joined:
                _join(joined[key], priced)
            else:
                kept = {name: value for name, value in priced.items() if name not in {"provider", "model"} - set(keys)}
                joined[key] = {**kept, "usage": dict(row["usage"])}
        found = list(joined.values())
        if found and "at" not in found[0]:
            found.sort(key=lambda row: -_total(row["usage"]))
        return found


def _join(row: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("calls", "reported_calls", "estimated_calls", "unknown_calls", "reported_cost_calls", "priced_calls"):
        row[name] += other[name]
    row["cost"] = None if row["cost"] is None or other["cost"] is None else row["cost"] + other["cost"]
    if other["reported_cost"] is not None:
        row["reported_cost"] = (row["reported_cost"] or Decimal(0)) + other["reported_cost"]
    usage, theirs = row["usage"], other["usage"]
    if usage.get("origin") != theirs.get("origin"):
        usage["origin"] = "mixed"
    for name, count in theirs.items():
        if name not in {"origin", "total_tokens"}:
            usage[name] = usage.get(name, 0) + count
    if "input_tokens" in usage and "output_tokens" in usage:
        usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]


def _total(usage: Mapping[str, Any]) -> int:
    return int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)


def _checked(model: str, kinds: Mapping[str, Any]) -> dict[str, Decimal]:
    prices = {}
    for kind, price in kinds.items():
        if kind not in _NAMES:
            msg = f"{model}: there is no kind of price '{kind}'; the kinds are {', '.join(_NAMES)}"
            raise ValueError(msg)
        try:
            prices[kind] = Decimal(str(price))
        except InvalidOperation:
            prices[kind] = Decimal("NaN")
        if not prices[kind].is_finite() or prices[kind] < 0:
            msg = f"{model}: {kind} is a price in dollars per million tokens, not {price!r}"
            raise ValueError(msg)
    return prices


def _genai_prices(provider: str | None, model: str) -> dict[str, Decimal] | None:
    from genai_prices import data_snapshot

    snapshot = data_snapshot.get_snapshot()
    found = None
    for asked in (provider, None):
        try:
            found = snapshot.find_provider_model(model, None, asked, None)[1]
            break
        except LookupError:
            continue
    if found is None:
        return None
    from datetime import datetime, timezone

    price = found.get_prices(datetime.now(timezone.utc))
    prices = {}
    for kind, name in _NAMES.items():
        amount = getattr(price, name, None)
        if amount is None:
            continue
        if not isinstance(amount, Decimal):  # tiers by the length of a request
            return None
        prices[kind] = amount
    return prices or None
