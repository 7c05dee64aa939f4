"""Question: what is asked of a ledger's roll-ups, and how the answer gets its prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragmeter.quantity import DAY, HOUR, dollars, moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragmeter._native import LedgerCore
    from ragmeter.prices import Prices
    from ragmeter.prices.tariff import Tariff

__all__ = ["Question"]


@dataclass(frozen=True)
class Question:
    """What is asked; times are in microseconds since 1970."""

    by: tuple[str, ...]
    where: Mapping[str, str | None]
    since: int | None = None
    until: int | None = None
    bucket: str | None = None

    def answer(self, ledger: LedgerCore) -> list[dict[str, Any]]:
        """Return the sums of the roll-ups."""
        return [self._row(row) for row in ledger.sums(self.by, dict(self.where), self.since, self.until, self.bucket)]

    def priced(self, ledger: LedgerCore, prices: Prices) -> list[dict[str, Any]]:
        """Return the same with `cost` and `priced_calls`.

        Where a price depends on the time or on the length of a request, its calls are told apart by that: by whole
        hours and days from the roll-ups, else one by one, as long as they are not pruned.
        """
        wide = replace(self, by=(*self.by, *(label for label in ("provider", "model") if label not in self.by)))
        models: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
        for row in wide.answer(ledger):
            models.setdefault((row["provider"], row["model"]), []).append(row)
        found = []
        for (provider, model), rows in models.items():
            tariff = prices.tariff(provider, model)
            slot = tariff.slot(self.since, self.until) if tariff is not None else None
            if tariff is None or (slot is None and not tariff.thresholds):
                found += [{**row, "slot": self._any_time()} for row in rows]
                continue
            of_model = replace(wide, where={**self.where, "provider": provider, "model": model})
            if tariff.thresholds or (slot or DAY) % HOUR:
                found += of_model._by_calls(ledger, tariff, slot, rows)
            else:
                found += of_model._by_hours(ledger, slot or DAY)
        return prices.fold(found, self.by)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        at = {"at": row["bucket"]} if self.bucket is not None else {}
        rest = {name: value for name, value in row.items() if name not in {"key", "bucket"}}
        return {
            **at,
            **dict(zip(self.by, row["key"], strict=True)),
            **rest,
            "reported_cost": dollars(row["reported_cost"]),
        }

    def _any_time(self) -> int:
        """Return a time that the calls asked for have the prices of, if those do not change meanwhile; 0 is now."""
        return self.since or (self.until or 1) - 1

    def _by_hours(self, ledger: LedgerCore, slot: int) -> list[dict[str, Any]]:
        finer = "hour" if slot % DAY or self.bucket == "hour" else "day"
        rows = ledger.sums(self.by, dict(self.where), self.since, self.until, finer)
        return [{**self._row({**row, "bucket": self._begin(row["bucket"])}), "slot": row["bucket"]} for row in rows]

    def _begin(self, at: int) -> int:
        if self.bucket == "month":
            return at - at % DAY - (moment(at).day - 1) * DAY
        return at - at % (HOUR if self.bucket == "hour" else DAY)

    def _by_calls(
        self, ledger: LedgerCore, tariff: Tariff, slot: int | None, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Tell the calls behind `rows` apart; a row whose calls are not all there has no slot and no length."""
        parts: dict[Any, list[dict[str, Any]]] = {}
        for part in ledger.priced(
            self.by, dict(self.where), tariff.thresholds, slot, self.since, self.until, self.bucket
        ):
            beyond, at = part.pop("beyond"), part.pop("slot")
            length = tariff.thresholds[beyond - 1] + 1 if beyond else 0
            row = {**self._row(part), "slot": at if slot else self._any_time(), "length": length}
            parts.setdefault(self._key(row), []).append(row)
        found = []
        for row in rows:
            known = parts.get(self._key(row), [])
            is_whole = all(have >= want for have, want in zip(_amounts(known), _amounts([row]), strict=True))
            found += known if is_whole else [{**row, "slot": None, "length": None}]
        return found

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return (row.get("at"), *(row[label] for label in self.by))


def _amounts(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    calls = [sum(row[name] for row in rows) for name in ("calls", "cache_hits")]
    return [*calls, *(sum(row["usage"].get(name) or 0 for row in rows) for name in ("input_tokens", "output_tokens"))]
