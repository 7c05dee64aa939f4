"""Witnesses: who saw a call, and which of them is believed.

A host's model function is wrapped in an `OpenCall` for as long as it runs. An observer of an SDK that sees a request
inside it reports that request itself; what a token tracker was told counts only if no observer saw anything; an
estimate from the texts counts only if nobody else said anything. So a call is recorded once, by its best witness.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from ragmeter._native import record, record_later

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ragmeter._native import Scope, Usage
    from ragmeter.observe.exchange import Exchange
    from ragmeter.quota import Reservation

    Shares: TypeAlias = list[tuple[dict[str, str], int, Scope | None]]

__all__ = ["OpenCall", "call_variable", "open_call"]

call_variable: ContextVar[OpenCall | None] = ContextVar("ragmeter_open_call", default=None)


def open_call() -> OpenCall | None:
    """Return the host's model call that is running here, if there is one."""
    return call_variable.get()


class OpenCall:
    """A call of the host's model function that has begun and not ended.

    Attributes:
        scope: Who pays for it.
        observed: Whether an observer has seen a request of it. The observer records what it sees, and says so when it
            knows nothing; nobody else needs to.
        exchanges: The requests that observers have seen begin.
        heard: What observers recorded for it, one Usage for each request that they saw end.
        shares: Who shares it: labels, weights and scopes; None if nobody does.
        divide: Returns who shares a request that holds some of the call's texts only; None if nobody shares anything.
    """

    records: ClassVar[bool] = False
    """Whether `hear` records what observers saw, under names of the host's own, so that they need not."""

    __slots__ = (
        "_admitted", "_before", "_closed", "_hold", "_told", "divide", "exchanges", "heard", "labels", "observed",
        "scope", "shares",
    )  # fmt: skip

    def __init__(self, scope: Scope | None, **labels: str | None) -> None:
        self.scope = scope
        self.labels: dict[str, Any] = labels
        self.observed = False
        self.exchanges: list[Exchange] = []
        self.heard: list[Usage] = []
        self.shares: Shares | None = None
        self.divide: Callable[[list[str]], Shares | None] | None = None
        self._told: list[Usage] = []
        self._closed = False
        self._before: OpenCall | None = None
        self._hold: Reservation | None = None
        self._admitted = False

    def admit(self) -> None:
        """Reserve what the call may cost, as far as is known, if a quota guards its scope; once.

        Raises:
            QuotaError: There is no room for it.
        """
        quota = self._guardian()
        if quota is not None:
            self._hold = quota.admit(self.scope, self.labels, None)

    async def aadmit(self) -> None:
        """Reserve as `admit` does while the event loop goes on."""
        quota = self._guardian()
        if quota is not None:
            self._hold = await quota.aadmit(self.scope, self.labels, None)

    def _guardian(self) -> Any:
        admitted, self._admitted = self._admitted, True
        return self.scope.quota if self.scope is not None and not admitted else None

    def hand_over(self) -> Reservation | None:
        """Return the reservation, for the request that knows better what it may cost; it is its from now on."""
        hold, self._hold = self._hold, None
        return hold

    def __enter__(self) -> OpenCall:
        self.admit()
        self._before = call_variable.get()
        call_variable.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        call_variable.set(self._before)

    async def __aenter__(self) -> OpenCall:
        await self.aadmit()
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)

    def leave(self) -> None:
        """End requests that are still open with what has come so far.

        For a caller that is gone: an SDK may keep an abandoned stream open until it is collected.
        """
        for exchange in self.exchanges:
            if exchange.leave is not None:
                exchange.leave()

    def tell(self, usage: Usage) -> None:
        """Take what a token tracker was told."""
        self._told.append(usage)

    def hear(self, usage: Usage, held: str | None = None) -> None:  # noqa: ARG002 - for those that record
        """Take what an observer saw of a request, and the id of the reservation that it was made under."""
        self.heard.append(usage)

    def close(self, estimate: Callable[[], Usage] | None) -> None:
        """End the call and record it, if no observer did. Ending it again does nothing.

        Args:
            estimate: Returns the usage where nobody has said anything; None where such a call costs nothing. It is
                called when somebody asks for a total, for counting a long prompt takes longer than all the rest.
        """
        if self._closed:
            return
        self._closed = True
        if self.observed:
            return
        if self._hold is not None and not self._told and estimate is not None:
            self._told.append(estimate())
        # What is settled together has one id only if it is one call.
        held = self._hold.id if self._hold is not None and len(self._told) == 1 else None
        for usage in self._told:
            record(usage, scope=self.scope, shares=self.shares, id=held, **self.labels)
        if self._hold is not None:
            self._settle(self._hold)
        if estimate is None or self._told:
            return
        if self.shares is not None:  # it may count in runs that nobody would ask here
            record(estimate(), scope=self.scope, shares=self.shares, **self.labels)
        else:
            record_later(self.scope, lambda: record(estimate(), scope=self.scope, **self.labels))

    def _settle(self, hold: Reservation) -> None:
        if self._told:
            hold.settle(sum(self._told[1:], self._told[0]), calls=len(self._told))
        else:
            hold.release()
