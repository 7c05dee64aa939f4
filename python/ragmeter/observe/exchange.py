"""Exchange: one request of an SDK to a model API, until its usage is known and recorded."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, current_scope, record
from ragmeter.meter import guard
from ragmeter.observe.estimate import estimate, unfinished
from ragmeter.observe.failure import may_be_billed
from ragmeter.witness import open_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragmeter.quota import Reservation

__all__ = ["Exchange", "under_way"]

under_way: ContextVar[Exchange | None] = ContextVar("ragmeter_exchange", default=None)
"""The exchange whose request is being sent here: what is sent below, by the SDK's own HTTP client, is the same call."""


class Exchange:
    """One request, from the moment it is sent. It is recorded once for each attempt that the provider may bill.

    The scope is the one in force where the request is made: a stream that is read elsewhere, or later, is paid by
    whoever asked for it. Where a quota guards the scope, nothing may be sent before `admit` or `aadmit`.

    Args:
        operation: What is asked for: `chat`, `embeddings`, `rerank`, …
        model: Model that is asked.
        provider: Who is asked, None if that is not known.
        request: Returns the request in OpenAI's shape, for the estimate where the provider says nothing.
    """

    __slots__ = ("_call", "_hold", "_lost", "_over", "_request", "_scope", "labels", "leave", "operation")

    def __init__(
        self, operation: str, model: Any, provider: str | None, request: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.operation = operation
        """What the API does; the label says what it is done for."""
        self._call = call = open_call()
        self.labels: dict[str, Any] = {
            "operation": operation if call is None else call.purpose(operation),
            "provider": provider,
            "model": model if isinstance(model, str) else None,
        }
        self._request = request
        self._scope = current_scope()
        self._over = False
        self._lost: BaseException | None = None
        self.leave: Callable[[], None] | None = None
        """Ends the exchange with what has come so far; for a stream whose reader is gone and that nobody closes."""
        if call is not None:
            call.observed = True
            call.exchanges.append(self)
            if "attempt" in call.labels:
                self.labels["attempt"] = call.labels["attempt"]
        self._hold: Reservation | None = None

    def admit(self) -> None:
        """Reserve what the request may cost, if a quota guards the scope.

        Raises:
            QuotaError: There is no room for it.
        """
        if self._scope is not None and self._scope.quota is not None:
            with guard("reserving for a request"):
                self._hold = self._scope.quota.admit(self._scope, *self._wishes())

    async def aadmit(self) -> None:
        """Reserve as `admit` does while the event loop goes on."""
        if self._scope is not None and self._scope.quota is not None:
            with guard("reserving for a request"):
                self._hold = await self._scope.quota.aadmit(self._scope, *self._wishes())

    def _wishes(self) -> tuple[dict[str, Any], Callable[[], Mapping[str, Any]], Reservation | None]:
        call = self._call
        labels = call.labels if call is not None and call.records else self.labels
        return labels, self._request, call.hand_over() if call is not None else None

    def over(self, usage: Usage | None, delivered: str | None = None, *, whole: bool = True) -> None:
        """Record the answer. Only the first word counts; a later one is ignored.

        Args:
            usage: What the provider said, None if nothing.
            delivered: Text that reached the caller, for the estimate where the provider said nothing. None if there
                was an answer whose text is not known.
            whole: Whether the answer came to its end; of one that did not, the provider has not said all.
        """
        if self._over:
            return
        self._over, self._lost = True, None
        if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
            usage = estimate(self.operation, self._request(), delivered)
        elif not whole:
            usage = unfinished(usage, estimate(self.operation, {"input": ()}, delivered))
        labels = dict(self.labels)
        if usage.model is not None:
            labels["model"] = None  # the model that answered is better than the one that was asked
        shares = None
        held = self._hold.id if self._hold is not None else None
        if self._call is not None:
            self._call.hear(usage, held)
            shares = self._call.shares if self._call.divide is None else self._call.divide(self._texts())
        if self._call is None or not self._call.records:
            record(usage, scope=self._scope, shares=shares, id=held, **labels)
        if self._hold is not None:
            self._hold.settle(usage)

    def _texts(self) -> list[str]:
        texts = self._request().get("input")
        return [text for text in (texts if isinstance(texts, list) else [texts]) if isinstance(text, str)]

    def failed(self, exc: BaseException) -> None:
        """Learn that an attempt ended with an error: it may be billed, and then nobody knows how much.

        An error that is reported twice, by an attempt and by the request that it ends, counts once.
        """
        with guard("looking at an error"):
            if self._over or exc is self._lost:
                return
            if may_be_billed(exc):
                self._lost = exc
                self.lost()
            else:
                self.refused()

    def refused(self) -> None:
        """Learn that an attempt was not served, and so is not billed."""
        with guard("giving back what was reserved"):
            if self._hold is not None:
                self._hold.release()
                self._hold = self._hold.bare()  # for the attempt that may follow

    def lost(self) -> None:
        """Record an attempt that was sent and whose answer never came: it may be billed, nobody knows how much."""
        with guard("recording a lost attempt"):
            usage = Usage(origin="unknown")
            held = self._hold.id if self._hold is not None else None
            if self._call is not None and self._call.records:
                self._call.hear(usage, held)
            else:
                record(usage, scope=self._scope, id=held, **self.labels)
            if self._hold is not None:
                self._hold.settle()  # as much as was reserved
                self._hold = self._hold.bare()
