"""Standing: how a limit of a quota stands, and the refusal of a call that it has no room for."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any

from ragmeter.meter import QuotaError
from ragmeter.quantity import dollars, moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["QuotaExceeded", "QuotaUnavailable", "limit_of", "picodollars", "standing_of"]


class QuotaExceeded(QuotaError):  # noqa: N818 - the word that its users know
    """A call was refused: a quota has no room for it. Nothing was sent and nothing is reserved.

    Attributes:
        quota: Name of the limit.
        counted_for: For whom it is counted where it is counted for each, such as `user=ann`.
        measure: `tokens`, `calls` or `money`; the amounts below are in it, money in dollars (`Decimal`).
        used: What was spent.
        reserved: What calls that are under way may spend.
        asked: What this one would have; None if nobody knows its price.
        limit: What may be spent.
        resets_at: When some of it will be free again (UTC), None if never.
    """

    def __init__(self, standing: Mapping[str, Any]) -> None:
        self.quota: str = standing["name"]
        self.counted_for: str = standing["counted_for"]
        self.measure: str = standing["measure"]
        self.used, self.reserved, self.limit = standing["used"], standing["reserved"], standing["limit"]
        self.asked = standing["asked"]
        self.resets_at: datetime | None = standing["resets_at"]
        whom = f" for {self.counted_for}" if self.counted_for else ""
        if self.asked is None:
            text = f"quota '{self.quota}'{whom} is in money, and nobody knows the price of this call"
        else:
            unit = "dollars" if self.measure == "money" else self.measure
            text = (
                f"quota '{self.quota}'{whom} is used up: {self.used} of {self.limit} {unit} used, "
                f"{self.reserved} reserved, {self.asked} more asked"
            )
            if self.resets_at is not None:
                text += f"; resets {self.resets_at:%Y-%m-%dT%H:%M:%SZ}"
        super().__init__(text)


class QuotaUnavailable(QuotaError):  # noqa: N818 - goes with the other
    """A call was refused because the sums cannot be reached and the quota is `when_down="closed"`."""


def picodollars(money: Decimal | str | int) -> int:
    """Return dollars in the unit of the sums; what is smaller than one of them is rounded up.

    Raises:
        ValueError: It is no amount of money.
    """
    try:
        amount = Decimal(money)
        return int(amount.scaleb(12).to_integral_value(ROUND_UP))
    except (ArithmeticError, TypeError, ValueError) as exc:
        msg = f"money is a decimal number of dollars, not {money!r}"
        raise ValueError(msg) from exc


def _amount(measure: str, amount: int | None) -> Any:
    return dollars(amount) if measure == "money" else amount


def limit_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a limit as `Quota.list` shows it."""
    marks = [mark / 1000 for mark in row["marks"]]
    return {**row, "limit": _amount(row["measure"], row["limit"]), "marks": marks}


def standing_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a limit stands, as `Quota.usage` shows it."""
    found, resets_at = limit_of(row), row["resets_at"]
    for name in ("used", "reserved", "asked"):
        if name in row:
            found[name] = _amount(row["measure"], row[name])
    found["remaining"] = _amount(row["measure"], max(row["limit"] - row["used"] - row["reserved"], 0))
    found["resets_at"] = None if resets_at is None else moment(resets_at)
    return found
