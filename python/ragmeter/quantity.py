"""Quantities of the ledger, money and time, and how people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

__all__ = ["DAY", "HOUR", "dollars", "micros", "moment", "plain"]

HOUR = 3_600_000_000
"""Microseconds."""
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND


def dollars(picodollars: int | None) -> Decimal | None:
    """Return an amount of the ledger in US dollars, exactly; None stays None."""
    return None if picodollars is None else plain(Decimal(picodollars).scaleb(-12))


def plain(amount: Decimal) -> Decimal:
    """Return an amount without trailing zeros, and with all of its digits before the point: 100, not 1E+2."""
    return amount.normalize() + 0


def micros(when: datetime | timedelta | int | str | None) -> int | None:
    """Return a time as UTC microseconds since 1970.

    Args:
        when: A time, an age (`timedelta(days=7)` is a week ago), microseconds, or text: `7d`, `12h`, `30m`,
            `2026-11-22`, `2026-11-22T05:00:00Z`. Without a zone it is UTC; what is before 1970 is 1970.

    Raises:
        ValueError: The text is neither an age nor a time.
    """
    if when is None:
        return None
    if isinstance(when, str):
        when = _time(when)
    if isinstance(when, timedelta):
        at = (datetime.now(timezone.utc) - _EPOCH - when) // _MICROSECOND
    elif isinstance(when, datetime):
        at = ((when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)) - _EPOCH) // _MICROSECOND
    else:
        at = when
    return min(max(at, 0), _LAST)


def moment(at: int) -> datetime:
    """Return a time given in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


def _time(text: str) -> datetime | timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    try:
        if text[-1:] in units and text[:-1].isdigit():
            return timedelta(**{units[text[-1]]: int(text[:-1])})
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        msg = f"a time is an age such as '7d' or '12h', or '2026-11-22T05:00:00Z', not '{text}'"
        raise ValueError(msg) from None
