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

    from ragmeter._native import Scope, Usage
    from ragmeter.observe.exchange import Exchange

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
    """

    records: ClassVar[bool] = False
    """Whether `hear` records what observers saw, under names of the host's own, so that they need not."""

    __slots__ = ("_before", "_closed", "_told", "exchanges", "heard", "labels", "observed", "scope", "shares")

    def __init__(self, scope: Scope | None, **labels: str | None) -> None:
        self.scope = scope
        self.labels: dict[str, Any] = labels
        self.observed = False
        self.exchanges: list[Exchange] = []
        self.heard: list[Usage] = []
        self.shares: list[tuple[dict[str, str], int, Scope | None]] | None = None
        self._told: list[Usage] = []
        self._closed = False
        self._before: OpenCall | None = None

    def __enter__(self) -> OpenCall:
        self._before = call_variable.get()
        call_variable.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        call_variable.set(self._before)

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

    def hear(self, usage: Usage) -> None:
        """Take what an observer saw of a request."""
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
        for usage in self._told:
            record(usage, scope=self.scope, shares=self.shares, **self.labels)
        if estimate is None or self._told:
            return
        if self.shares is not None:  # it may count in runs that nobody would ask here
            record(estimate(), scope=self.scope, shares=self.shares, **self.labels)
        else:
            record_later(self.scope, lambda: record(estimate(), scope=self.scope, **self.labels))
