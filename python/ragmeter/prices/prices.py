"""Prices: what a model's tokens cost, in exact decimals. An unknown price makes the cost unknown, never 0."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter.bounded import Bounded
from ragmeter.prices.tariff import Tariff
from ragmeter.quantity import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Prices"]

_MILLION = Decimal(1_000_000)
_MOST_FOUND = 10_000
"""Models that somebody else was asked for."""
_SUBSETS = {
    "input": ("cache_read", "cache_write_1h", "cache_write", "input_audio", "input_image"),
    "output": ("output_audio", "output_image", "reasoning"),
}
"""The totals, and what of them may have a price of its own."""
_NAMES = {
    "input": "input_mtok", "output": "output_mtok", "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok", "cache_write_1h": "cache_write_1h_mtok", "input_audio": "input_audio_mtok",
    "input_image": "input_image_mtok", "output_audio": "output_audio_mtok", "output_image": "output_image_mtok",
    "reasoning": "output_reasoning_mtok", "web_searches": "web_searches_kcount",
}  # fmt: skip
"""Our names and those of genai-prices."""


class Prices:
    """Dollars per million tokens, by model.

    Args:
        table: Model (or `provider/model`) to its prices: `{"gpt-4o-mini": {"input": "0.15", "output": "0.60",
            "cache_read": "0.075"}}`; see `Tariff` for prices that depend on the length of a request or on its
            time; `KINDS` are the kinds. A subset without a price costs what its total costs.
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
        table: Mapping[str, Any] | None = None,
        fall_back: Callable[[str | None, str], Any] | None = None,
    ) -> None:
        self._table = {model: Tariff(model, prices) for model, prices in (table or {}).items()}
        self._fall_back = fall_back
        self._found: dict[tuple[str | None, str], Tariff | None] = Bounded(_MOST_FOUND)

    @classmethod
    def read(cls, path: str) -> Prices:
        """Read the table from a JSON file; its numbers are taken digit by digit."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal))

    @classmethod
    def bundled(cls, table: Mapping[str, Any] | None = None) -> Prices:
        """Return the prices of the package `genai-prices` (`pip install ragmeter[prices]`), `table` before them.

        Raises:
            ImportError: The package is not installed.
        """
        from genai_prices import data_snapshot  # noqa: F401 - raises here, where it can be understood

        return cls(table, _genai_prices)

    def tariff(self, provider: str | None, model: str | None) -> Tariff | None:
        """Return the prices of a model and what they depend on, or None if they are unknown."""
        if model is None:
            return None
        for name in (f"{provider}/{model}", model):
            if name in self._table:
                return self._table[name]
        if self._fall_back is None:
            return None
        key = (provider, model)
        if key not in self._found:
            prices = self._fall_back(provider, model)
            self._found[key] = Tariff(model, prices) if prices else None
        return self._found[key]

    def cost(
        self,
        provider: str | None,
        model: str | None,
        usage: Mapping[str, Any],
        *,
        at: int | None = None,
        length: int | None = None,
    ) -> Decimal | None:
        """Return what `usage` costs in dollars, or None if a price or a count that is needed is unknown.

        Args:
            provider: Who answered.
            model: As the provider names it.
            usage: Counts of one request, or of several that have the same prices.
            at: When it was made, in microseconds since 1970; now, if not given.
            length: Input tokens of the request, for prices that depend on it; those of `usage` if not given.
        """
        tariff = self.tariff(provider, model)
        if tariff is None:
            return None
        prices = tariff.prices(at, (usage.get("input_tokens") or 0) if length is None else length)
        parts = [_part(total, prices, usage) for total in _SUBSETS]
        if usage.get("input_tokens") is None and usage.get("output_tokens") is None:
            return None
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        fees = prices.get("web_searches", Decimal(0)) * 1000 * (usage.get("web_searches") or 0)
        return plain((sum(known, Decimal(0)) + fees) / _MILLION)

    def fold(self, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
        """Add `cost` to rows told apart by provider and model too, and join those that `keys` do not tell apart.

        Rows whose prices depend on it have `slot`, when they were made, and `length`, of each request; None where that
        is not known any more. The cost of a joined row is unknown if that of one of them is; `priced_calls` says how
        many were priced.
        """
        joined: dict[tuple[Any, ...], dict[str, Any]] = {}
        for found in rows:
            row = dict(found)
            at, length = row.pop("slot", 0), row.pop("length", 0)
            cost = None
            if _is_spared(row):
                cost = Decimal(0)
            elif not row["unknown_calls"] and at is not None and length is not None:
                cost = self.cost(row.get("provider"), row.get("model"), row["usage"], at=at or None, length=length)
            priced = {**row, "cost": cost, "priced_calls": row["calls"] if cost is not None else 0}
            key = (row.get("at"), *(row.get(name) for name in keys))
            if key in joined:
                _join(joined[key], priced)
            else:
                kept = {name: value for name, value in priced.items() if name not in {"provider", "model"} - set(keys)}
                joined[key] = {**kept, "usage": dict(row["usage"])}
        folded = list(joined.values())
        folded.sort(key=lambda row: row["at"] if "at" in row else -_total(row["usage"]))
        return folded


_ADDED = (
    "calls", "reported_calls", "estimated_calls", "unknown_calls", "reported_cost_calls", "priced_calls",
    "cache_hits", "saved_tokens",
)  # fmt: skip


def _join(row: dict[str, Any], other: dict[str, Any]) -> None:
    usage, theirs = row["usage"], other["usage"]
    if _is_spared(row):
        usage["origin"] = theirs.get("origin")
    elif not _is_spared(other) and usage.get("origin") != theirs.get("origin"):
        usage["origin"] = "mixed"
    for name in _ADDED:
        row[name] += other[name]
    row["cost"] = None if row["cost"] is None or other["cost"] is None else row["cost"] + other["cost"]
    if other["reported_cost"] is not None:
        row["reported_cost"] = (row["reported_cost"] or Decimal(0)) + other["reported_cost"]
    for name, count in theirs.items():
        if name not in {"origin", "total_tokens"}:
            usage[name] = usage.get(name, 0) + count
    if "input_tokens" in usage and "output_tokens" in usage:
        usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]


def _is_spared(row: Mapping[str, Any]) -> bool:
    """Whether nothing stands behind a row but calls that a cache has spared."""
    return not row["calls"] and set(row["usage"]) <= {"origin"}


def _total(usage: Mapping[str, Any]) -> int:
    return int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)


def _part(total: str, prices: Mapping[str, Decimal], usage: Mapping[str, Any]) -> Decimal | None:
    """Return what the input or the output costs, in millionths of a dollar; None if that is unknown."""
    count = usage.get(f"{total}_tokens")
    if count is None:
        # An embedding has no output.
        has_none = total == "output" and usage.get("input_tokens") is not None and not prices.get("output")
        return Decimal(0) if has_none else None
    if count and total not in prices:
        return None
    counts = {kind: usage.get(f"{kind}_tokens") or 0 for kind in _SUBSETS[total] if kind in prices}
    if counts.get("cache_read") and counts.get("input_audio"):
        return None  # nobody says how much of the audio came from the cache
    if "cache_write_1h" in counts and "cache_write" in counts:
        counts["cache_write"] = max(0, counts["cache_write"] - counts["cache_write_1h"])
    cost, left = Decimal(0), count
    for kind, part in counts.items():
        part = min(part, left)  # noqa: PLW2901 - a subset is never more than what it is of
        cost += prices[kind] * part
        left -= part
    return cost + prices[total] * left if left else cost


def _genai_prices(provider: str | None, model: str) -> list[dict[str, Any]] | None:
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
    listed = found.prices if isinstance(found.prices, list) else [found]
    periods = [_genai_period(period.prices, getattr(period, "constraint", None)) for period in listed]
    return periods if any(periods) else None


def _genai_period(prices: Any, constraint: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, name in _NAMES.items():
        price = getattr(prices, name, None)
        if isinstance(price, Decimal):
            found[kind] = price
        elif price is not None:
            tiers = [{"start": tier.start, "price": tier.price} for tier in price.tiers]
            found[kind] = {"base": price.base, "tiers": tiers}
    if hasattr(constraint, "start_date"):
        found["since"] = constraint.start_date.isoformat()
    elif constraint is not None:
        # Times without a zone are UTC, and the others are UTC in the data.
        found["from"], found["to"] = (
            t.replace(tzinfo=None).isoformat() for t in (constraint.start_time, constraint.end_time)
        )
    return found
