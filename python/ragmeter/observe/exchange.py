"""Exchange: one request of an SDK to a model API, until its usage is known and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, current_scope, record
from ragmeter.meter import guard
from ragmeter.observe.estimate import estimate
from ragmeter.witness import open_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Exchange"]


class Exchange:
    """One request, from the moment it is sent. It is recorded once for each attempt that the provider may bill.

    The scope is the one in force where the request is made: a stream that is read elsewhere, or later, is paid by
    whoever asked for it. Where a quota guards the scope, making one reserves what the request may cost, and raises
    `QuotaError` if there is no room for it.
    """

    __slots__ = ("_call", "_hold", "_over", "_scope", "_shares", "labels", "leave", "request")

    def __init__(self, operation: str, request: Mapping[str, Any], provider: str | None) -> None:
        model = request.get("model")
        self.request = request
        self.labels: dict[str, Any] = {
            "operation": operation,
            "provider": provider,
            "model": model if isinstance(model, str) else None,
        }
        self._scope = current_scope()
        self._over = False
        self.leave: Callable[[], None] | None = None
        """Ends the exchange with what has come so far; for a stream whose reader is gone and that nobody closes."""
        self._call = call = open_call()
        self._shares = None
        if call is not None:
            call.observed = True
            call.exchanges.append(self)
            self._shares = call.shares
        quota = self._scope.quota if self._scope is not None else None
        self._hold = quota.admit(self._scope, self.labels, request, call and call.hand_over()) if quota else None

    def over(self, usage: Usage | None, delivered: str | None = None) -> None:
        """Record the answer. Only the first word counts; a later one is ignored.

        Args:
            usage: What the provider said, None if nothing.
            delivered: Text that reached the caller, for the estimate where the provider said nothing. None if there
                was an answer whose text is not known.
        """
        if self._over:
            return
        self._over = True
        if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
            usage = estimate(self.labels["operation"], self.request, delivered)
        labels = dict(self.labels)
        if usage.model is not None:
            labels["model"] = None  # the model that answered is better than the one that was asked
        if self._call is not None:
            self._call.heard.append(usage)
        record(usage, scope=self._scope, shares=self._shares, **labels)
        if self._hold is not None:
            self._hold.settle(usage)

    def lost(self) -> None:
        """Record an attempt that was sent and whose answer never came: it may be billed, nobody knows how much."""
        with guard("recording a lost attempt"):
            record(Usage(origin="unknown"), scope=self._scope, **self.labels)
            if self._hold is not None:
                self._hold.settle()  # as much as was reserved
                self._hold = self._hold.bare()

    def refused(self) -> None:
        """Give back what was reserved: the provider has refused the request."""
        with guard("releasing a reservation"):
            if self._hold is not None:
                self._hold.release()
