"""Tariff: the prices of one model, which may depend on the length of a request and on the time it was made at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ragmeter.quantity import DAY, HOUR, micros, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KINDS", "Tariff"]

KINDS = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image", "output_audio",
    "output_image", "reasoning", "web_searches",
)  # fmt: skip
"""What has a price: dollars per million tokens, and per thousand web searches."""

_MINUTE = HOUR // 60


@dataclass(frozen=True)
class _Rate:
    """A price; beyond so many input tokens of a request another one, for all of its tokens."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def of(self, length: int) -> Decimal:
        return next((price for start, price in reversed(self.tiers) if length > start), self.base)


@dataclass(frozen=True)
class _Period:
    """Prices, and when they hold: from a day on, or every day between two times (UTC)."""

    rates: Mapping[str, _Rate]
    since: date | None = None
    begin: time | None = None
    end: time | None = None

    def holds(self, at: datetime) -> bool:
        if self.since is not None and at.date() < self.since:
            return False
        if self.begin is None or self.end is None:
            return True
        if self.end < self.begin:
            return at.time() >= self.begin or at.time() < self.end
        return self.begin <= at.time() < self.end


class Tariff:
    """The prices of one model. The last period that holds at a time is in force, the first if none does.

    Args:
        model: Name for messages.
        prices: Kind to dollars, or to `{"base": dollars, "tiers": [{"start": tokens, "price": dollars}]}`; a list of
            such for prices that change, each with `since` (a date) or `from` and `to` (times of the day), in UTC.

    Raises:
        ValueError: A price is no decimal number, a kind does not exist, or a time is none.
    """

    def __init__(self, model: str, prices: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        listed = [prices] if isinstance(prices, Mapping) else list(prices)
        self._periods = [_period(model, period) for period in listed]
        starts = {start for period in self._periods for rate in period.rates.values() for start, _ in rate.tiers}
        self.thresholds = sorted(starts)
        """Input tokens of a request beyond which it has other prices."""

    def slot(self, since: int | None = None, until: int | None = None) -> int | None:
        """Return the microseconds at whose multiples prices may change between two times; None if they do not."""
        slots = []
        for period in self._periods:
            if period.begin is not None and period.end is not None:
                slots += [_minutes(period.begin), _minutes(period.end), DAY]
            elif period.since is not None:
                change = micros(datetime.combine(period.since, time(), timezone.utc)) or 0
                if (since is None or change > since) and (until is None or change < until):
                    slots.append(DAY)
        return math.gcd(*slots) if slots else None

    def prices(self, at: int | None = None, length: int = 0) -> dict[str, Decimal]:
        """Return the prices of a request of `length` input tokens at a time in microseconds, now if not given."""
        when = datetime.now(timezone.utc) if at is None else moment(at)
        found = next((period for period in reversed(self._periods) if period.holds(when)), self._periods[0])
        return {kind: rate.of(length) for kind, rate in found.rates.items()}


def _minutes(of_day: time) -> int:
    return (of_day.hour * 60 + of_day.minute) * _MINUTE


def _period(model: str, prices: Mapping[str, Any]) -> _Period:
    rates = {kind: _rate(model, kind, price) for kind, price in prices.items() if kind not in {"since", "from", "to"}}
    try:
        since = prices.get("since")
        begin, end = (
            time.fromisoformat(prices[name]) if prices.get(name) is not None else None for name in ("from", "to")
        )
        if (begin is None) != (end is None) or any(bound is not None and bound.tzinfo for bound in (begin, end)):
            raise ValueError
        return _Period(rates, date.fromisoformat(since) if since is not None else None, begin, end)
    except (TypeError, ValueError):
        msg = f"{model}: prices hold since a date such as '2026-11-22', or from '16:30' to '00:30', UTC"
        raise ValueError(msg) from None


def _rate(model: str, kind: str, price: Any) -> _Rate:
    if kind not in KINDS:
        msg = f"{model}: there is no kind of price '{kind}'; the kinds are {', '.join(KINDS)}"
        raise ValueError(msg)
    if not isinstance(price, Mapping):
        return _Rate(_dollars(model, kind, price))
    try:
        tiers = sorted((int(tier["start"]), _dollars(model, kind, tier["price"])) for tier in price["tiers"])
        return _Rate(_dollars(model, kind, price["base"]), tuple(tiers))
    except (KeyError, TypeError):
        msg = f"{model}: a price with tiers is {{'base': …, 'tiers': [{{'start': …, 'price': …}}]}}, not {price!r}"
        raise ValueError(msg) from None


def _dollars(model: str, kind: str, price: Any) -> Decimal:
    try:
        amount = Decimal(str(price))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        msg = f"{model}: {kind} is a price in dollars, not {price!r}"
        raise ValueError(msg)
    return amount
