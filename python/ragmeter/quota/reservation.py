"""Reservation: what one call may spend, from before its request until its cost is known."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter._native import LedgerError
from ragmeter.meter import guard
from ragmeter.quota.standing import picodollars

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from decimal import Decimal

    from ragmeter._native import QuotaHold, Usage
    from ragmeter.quota import Quota

    Taken = tuple[QuotaHold | None, list[dict[str, Any]]]

__all__ = ["Asked", "Reservation", "in_event_loop", "pool", "take_elsewhere"]

_MOST_THREADS = 32
"""What they ask for at the same time shares a round trip: more would not be faster."""
_pools: dict[int, ThreadPoolExecutor] = {}
"""By process: a forked child has none of its parent's threads."""


class Asked(NamedTuple):
    """Who asks for a reservation."""

    who: tuple[str | None, str | None, str | None, str | None]
    provider: str | None
    run: str | None
    instead: Reservation | None

    @property
    def about(self) -> tuple[str | None, ...]:
        """Operation, provider and model of the call."""
        _tenant, _user, model, operation = self.who
        return operation, self.provider, model

    def args(
        self, quota: Quota, tokens: int | None, calls: int, money: Any, word: tuple[str, str] | None
    ) -> tuple[Any, ...]:
        """Return what `Quota.take` is called with."""
        amount = None if money is None else picodollars(money)
        hold = self.instead._hold if self.instead is not None else None
        return self.who, tokens, calls, amount, self.run is not None and self.run in quota._begun, word, hold


class Reservation:
    """What a call may spend; made by `Quota.reserve`. As a context manager it is released unless it was settled."""

    __slots__ = ("_about", "_hold", "_quota", "_who")

    def __init__(self, quota: Quota, hold: QuotaHold | None, about: tuple[str | None, ...], who: Any) -> None:
        self._quota = quota
        self._hold = hold
        self._about = about
        self._who = who

    def settle(
        self,
        usage: Usage | None = None,
        *,
        tokens: int | None = None,
        calls: int = 1,
        money: Decimal | str | int | None = None,
    ) -> None:
        """Turn what was reserved into what was spent, once; what is not known counts as it was reserved.

        Nobody waits for it: a thread of the quota does it, before anything that this process asks of the sums
        afterwards, and if they cannot be reached now it is done later.

        Args:
            usage: What the provider said; its tokens are those of input and output, its price that of the quota.
            tokens: The same, counted by the caller.
            calls: Requests that were made.
            money: Dollars; else what the quota's prices or the provider say.
        """
        operation, provider, model = self._about
        if usage is not None:
            given = (usage.input_tokens, usage.output_tokens)
            if tokens is None and given != (None, None):
                tokens = sum(count for count in given if count is not None)
            if money is None:
                money = self._quota._price(usage.provider or provider, usage.model or model, usage)
            self._quota.forecast.learn(operation, model, *given)
        amount = None if money is None else picodollars(money)
        if self._hold is not None:
            self._hold.settle(tokens, calls, amount)
        elif in_event_loop():
            pool().submit(self._charge, tokens, calls, amount)
        else:
            self._charge(tokens, calls, amount)

    def _charge(self, tokens: int | None, calls: int, money: int | None) -> None:
        with guard("charging a quota"):
            try:
                self._quota._warn(self._quota.charge(self._who, tokens, calls, money))
            except LedgerError as exc:
                self._quota._unreachable(exc)

    @property
    def id(self) -> str | None:
        """For `ragmeter.record(…, id=…)` of the one call that is made under it; None if no limit applies.

        By it the ledger knows what a call has cost whose process was killed before it could settle.
        """
        return self._hold.id if self._hold is not None else None

    def bare(self) -> Reservation:
        """Return one that holds nothing and counts what it is settled with: for another attempt of the same call."""
        return Reservation(self._quota, None, self._about, self._who)

    def release(self) -> None:
        """Give back what was reserved: nothing was spent."""
        if self._hold is not None:
            self._hold.release()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def in_event_loop() -> bool:
    """Return whether an event loop of asyncio runs in this thread: nothing must be waited for then."""
    asyncio: Any = sys.modules.get("asyncio")  # whoever runs one has imported it
    return asyncio is not None and asyncio._get_running_loop() is not None


def pool() -> ThreadPoolExecutor:
    """Return the threads that wait for the sums where an event loop must not."""
    from concurrent.futures import ThreadPoolExecutor

    known = _pools.get(os.getpid())
    if known is None:
        known = _pools.setdefault(os.getpid(), ThreadPoolExecutor(_MOST_THREADS, "ragmeter-quota"))
    return known


async def take_elsewhere(take: Callable[..., Taken], *args: Any) -> Taken:
    """Call `take` in another thread. What it has reserved is given back if its caller is cancelled meanwhile."""
    import asyncio

    future = pool().submit(take, *args)
    try:
        return await asyncio.wrap_future(future)
    except BaseException:
        future.add_done_callback(_give_back)
        raise


def _give_back(future: Future[Taken]) -> None:
    if not future.cancelled() and future.exception() is None and (hold := future.result()[0]) is not None:
        hold.release()
