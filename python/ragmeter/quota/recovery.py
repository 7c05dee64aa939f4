"""Recovery: what a quota does though nobody waits for it, at the end of a process and after that of another.

A process that is killed leaves reservations. Those whose calls it had recorded are settled with what the ledger knows,
by the id that the call has from its reservation; those of calls that were never recorded lapse.
"""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter.ledger.ledger import at_exit, current_ledger
from ragmeter.meter import guard
from ragmeter.quantity import dollars
from ragmeter.quota.standing import picodollars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from ragmeter._native import QuotaHold
    from ragmeter.ledger import Ledger
    from ragmeter.quota import Quota

    Rows = list[dict[str, Any]]

__all__ = ["look_after", "recover"]

_quotas: weakref.WeakSet[Quota] = weakref.WeakSet()


def recover(quota: Quota, holds: Sequence[QuotaHold], ledger: Ledger) -> int:
    """Settle reservations that have lapsed and whose calls are in the ledger; how many those are.

    Raises:
        LedgerError: The sums or the ledger cannot be reached.
    """
    calls: dict[str | None, Rows] = {}
    for row in ledger.calls_of([hold.id for hold in holds if hold.id is not None]):
        calls.setdefault(row["id"], []).append(row)
    known = [(hold, calls[hold.id]) for hold in holds if hold.id in calls]
    for hold, parts in known:
        counts = [part["usage"].get(name) for part in parts for name in ("input_tokens", "output_tokens")]
        tokens = [count for count in counts if count is not None]
        prices = [price for part in parts if (price := _price_of(quota, part)) is not None]
        money = picodollars(sum(prices)) if len(prices) == len(parts) else None
        hold.recover(sum(tokens) if tokens else None, 1, money)
    return len(known)


def _price_of(quota: Quota, row: Mapping[str, Any]) -> Decimal | None:
    cost = quota._cost(row["labels"].get("provider"), row["labels"].get("model"), row["usage"])
    return dollars(row["reported_cost"]) if cost is None else cost


def look_after(quota: Quota) -> None:
    """Let a quota hear of what happens meanwhile, and see to it that nothing is left undone when the process ends."""
    known = weakref.ref(quota)

    def warn(said: Rows) -> None:
        if (quota := known()) is not None:
            quota._warn(said)

    def lapsed(holds: Sequence[QuotaHold]) -> None:
        quota, ledger = known(), current_ledger()
        if quota is not None and ledger is not None:
            with guard("reconciling a quota"):
                recover(quota, holds, ledger)

    quota.listen(warn, lapsed)
    _quotas.add(quota)
    _arrange()


def _at_exit() -> None:
    for quota in list(_quotas):
        quota.flush()


@functools.cache
def _arrange() -> None:
    at_exit(_at_exit)
