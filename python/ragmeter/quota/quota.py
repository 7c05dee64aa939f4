"""Quota: its limits, and what is asked of it before a call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragmeter._native import LedgerError, QuotaCore
from ragmeter.ledger import current_ledger
from ragmeter.meter import guard, logger
from ragmeter.quota.forecast import Forecast
from ragmeter.quota.override import Override
from ragmeter.quota.recovery import look_after, recover
from ragmeter.quota.reservation import Asked, Reservation, in_event_loop, take_elsewhere
from ragmeter.quota.standing import QuotaExceeded, QuotaUnavailable, limit_of, picodollars, standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from ragmeter._native import Scope, Usage
    from ragmeter.ledger import Ledger
    from ragmeter.quota.reservation import Taken

    Rows = list[dict[str, Any]]
    Listeners = list[Callable[[dict[str, Any]], object]]

__all__ = ["Quota"]

_MOST_RUNS = 10_000
"""How many runs are remembered as begun."""


class Quota(QuotaCore):
    """What somebody may spend. Make one with `Quota.open()`, and put it around calls with `ragmeter.run(quota=…)`.

    Example:
        >>> import ragmeter, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> quota = ragmeter.Quota.open(f"sqlite:{folder.name}/ledger.db")
        >>> quota.limit("acme", tokens=1000, per="month", tenant="acme")
        >>> with quota.reserve(800, tenant="acme") as reserved:
        ...     reserved.settle(tokens=700)
        >>> quota.usage(tenant="acme")[0]["remaining"]
        300
        >>> quota.reserve(301, tenant="acme")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        ragmeter.quota.QuotaExceeded: quota 'acme' is used up: 700 of 1000 tokens used, 0 reserved, 301 more asked; …
        >>> folder.cleanup()
    """

    prices: Any = None
    when_down = "closed"
    forecast: Forecast
    _begun: dict[str, None]
    _listeners: Listeners

    @classmethod
    def open(
        cls,
        url: str | Ledger,
        *,
        prices: Any = None,
        lease: float = 60.0,
        when_down: str = "closed",
        output_tokens: int = 1024,
    ) -> Quota:
        """Open a quota. Processes that open the same URL share its limits and sums.

        Args:
            url: A ledger, or the URL of one (`sqlite:PATH`, `postgresql://…`, `mysql://…`) or `redis://host:port/0`, `rediss://…`,
                `valkey://…`, with `?namespace=` for several quotas in one Redis.
            prices: A `ragmeter.prices.Prices`, for limits in money.
            lease: Seconds after which the reservations of a process that is gone are free again.
            when_down: What happens to calls while the sums cannot be reached: `closed` refuses them
                (`QuotaUnavailable`), `open` lets them through; both are counted in `health()`.
            output_tokens: Length of an answer to reserve for where the request names no limit and the model has
                answered nothing yet.

        Raises:
            ValueError: The URL or an option is none.
            LedgerError: The database refuses us or was made by a newer ragmeter. One that cannot be reached is no error
                here.
        """
        if when_down not in {"closed", "open"}:
            msg = f"when_down is 'closed' or 'open', not '{when_down}'"
            raise ValueError(msg)
        quota = cls(url, lease)
        quota.prices, quota.when_down, quota.forecast = prices, when_down, Forecast(output_tokens)
        quota._begun, quota._listeners = {}, []
        look_after(quota)
        try:
            quota.check()
        except LedgerError as exc:
            if exc.kind not in {"unavailable", "busy"}:
                raise
            logger.warning(
                "ragmeter: quota %s; calls are %s", exc, "refused" if when_down == "closed" else "let through"
            )
        return quota

    def limit(
        self,
        name: str,
        *,
        tokens: int | None = None,
        calls: int | None = None,
        money: Decimal | str | int | None = None,
        per: str = "month",
        tenant: str | None = None,
        user: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        policy: str = "block",
        marks: Sequence[float] = (0.8, 1.0),
        unknown_price: str = "refuse",
    ) -> None:
        """Set a limit, or change the one of that name; what was spent under it stays.

        Args:
            name: What you call it; unique.
            tokens: Input and output tokens that may be spent.
            calls: Requests that may be made.
            money: Dollars that may be spent, an exact decimal. One of the three is given.
            per: `day` or `month` (UTC), `total`, or a rolling window such as `90m`, `24h`, `30d`.
            tenant: Whom it is for: a name, `*` for each tenant by itself, None for all together.
            user: The same of the user.
            model: The same of the model.
            operation: The same of `chat`, `embeddings`, `rerank`, ….
            policy: `block` refuses what would pass the limit, `warn` only says so, `finish` refuses it unless it
                belongs to a run that has made calls already.
            marks: Shares of the limit at which to warn.
            unknown_price: What happens to a call whose price nobody knows: `refuse`, or `allow`, which costs the
                quota nothing and is counted in `health()` as `unpriced`.

        Raises:
            ValueError: Something of it makes no sense.
            LedgerError: The sums cannot be reached.
        """
        given = {"tokens": tokens, "calls": calls, "money": None if money is None else picodollars(money)}
        amounts = [(measure, amount) for measure, amount in given.items() if amount is not None]
        if len(amounts) != 1 or amounts[0][1] < 0:
            msg = "a limit is in tokens, in calls or in money, and not negative"
            raise ValueError(msg)
        ((measure, amount),) = amounts
        if not all(0 < mark <= 10 for mark in marks):  # noqa: PLR2004 - far beyond the limit
            msg = f"marks are shares of the limit, such as 0.8, not {list(marks)}"
            raise ValueError(msg)
        thousandths = sorted({round(mark * 1000) for mark in marks})
        self.put(name, (tenant, user, model, operation), measure, per, amount, policy, unknown_price, thousandths)

    def list(self) -> Rows:
        """Return every limit: the arguments it was set with, as `measure` and `limit` what and how much."""
        return [limit_of(row) for row in self.limits()]

    def remove(self, name: str) -> bool:
        """Remove a limit; whether there was one."""
        return self.drop_limit(name)

    def usage(
        self,
        tenant: str | None = None,
        user: str | None = None,
        model: str | None = None,
        operation: str | None = None,
    ) -> Rows:
        """Return how the limits stand that a call of these labels falls under.

        Returns:
            For each what `list` says of it, `used`, `reserved`, `remaining`, `counted_for` and `resets_at`.
        """
        return [standing_of(row) for row in self.standing((tenant, user, model, operation))]

    def reserve(
        self,
        tokens: int | None = None,
        *,
        calls: int = 1,
        money: Decimal | str | int | None = None,
        tenant: str | None = None,
        user: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        provider: str | None = None,
        run: str | None = None,
        word: tuple[str, str] | None = None,
        instead: Reservation | None = None,
    ) -> Reservation:
        """Reserve what a call may spend, on every limit that applies or on none.

        The reservation is kept alive until it is settled, released or forgotten.

        Args:
            tokens: Input and output tokens that it has at most.
            calls: Requests.
            money: Dollars that it costs at most; None if nobody knows.
            tenant: Who spends.
            user: Who spends.
            model: Which model is called.
            operation: `chat`, `embeddings`, ….
            provider: Whose model it is, for the price.
            run: Id of what it belongs to, for the policy `finish`.
            word: Who lets it through whatever the limits say, and why; it is written down, see `notes`.
            instead: A reservation that is given back for it.

        Raises:
            QuotaExceeded: A limit has no room for it.
            QuotaUnavailable: The sums cannot be reached, and the quota is closed then.
        """
        asked = Asked((tenant, user, model, operation), provider, run, instead)
        try:
            return self._taken(asked, self.take(*asked.args(self, tokens, calls, money, word)))
        except LedgerError as exc:
            return self._blind(asked, exc)

    async def areserve(
        self,
        tokens: int | None = None,
        *,
        calls: int = 1,
        money: Decimal | str | int | None = None,
        tenant: str | None = None,
        user: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        provider: str | None = None,
        run: str | None = None,
        word: tuple[str, str] | None = None,
        instead: Reservation | None = None,
    ) -> Reservation:
        """Reserve as `reserve` does while the event loop goes on; in an event loop of asyncio, in others it waits.

        What was reserved for somebody who is cancelled meanwhile is given back.
        """
        asked = Asked((tenant, user, model, operation), provider, run, instead)
        args = asked.args(self, tokens, calls, money, word)
        try:
            taken = await take_elsewhere(self.take, *args) if in_event_loop() else self.take(*args)
        except LedgerError as exc:
            return self._blind(asked, exc)
        return self._taken(asked, taken)

    def _taken(self, asked: Asked, taken: Taken) -> Reservation:
        hold, said = taken
        if hold is None:
            raise QuotaExceeded(standing_of(said[0]))
        if asked.run is not None and asked.run not in self._begun:
            self._begun[asked.run] = None
            if len(self._begun) > _MOST_RUNS:
                del self._begun[next(iter(self._begun))]
        self._warn(said)
        return Reservation(self, hold, asked.about, asked.who)

    def _blind(self, asked: Asked, exc: LedgerError) -> Reservation:
        self._unreachable(exc)
        self.count_blind(self.when_down == "closed")
        if self.when_down == "closed":
            msg = f"the quota cannot be reached, and calls are refused then: {exc}"
            raise QuotaUnavailable(msg) from exc
        return Reservation(self, None, asked.about, asked.who)

    def admit(
        self,
        scope: Scope,
        labels: Mapping[str, Any],
        request: Callable[[], Mapping[str, Any]] | None,
        instead: Reservation | None = None,
        word: tuple[str, str] | None = None,
    ) -> Reservation:
        """Reserve for a call that is about to be made in `scope`; for observers. Raises what `reserve` raises.

        Args:
            scope: Who pays.
            labels: `operation`, `provider` and `model` of the call.
            request: Returns what will be sent, in OpenAI's shape; None if it is not known.
            instead: A reservation that was made when less was known.
            word: Who lets it through whatever the limits say, and why.
        """
        return self.reserve(**self._wishes(scope, labels, request), word=word, instead=instead)

    async def aadmit(
        self,
        scope: Scope,
        labels: Mapping[str, Any],
        request: Callable[[], Mapping[str, Any]] | None,
        instead: Reservation | None = None,
        word: tuple[str, str] | None = None,
    ) -> Reservation:
        """Reserve as `admit` does while the event loop goes on."""
        return await self.areserve(**self._wishes(scope, labels, request), word=word, instead=instead)

    def _wishes(
        self, scope: Scope, labels: Mapping[str, Any], request: Callable[[], Mapping[str, Any]] | None
    ) -> dict[str, Any]:
        operation, provider, model = labels.get("operation"), labels.get("provider"), labels.get("model")
        sent = received = money = None
        with guard("estimating a call for its quota"):
            sent, received = self.forecast.of(operation, model, request() if request is not None else None)
            if sent is not None and received is not None:
                money = self._cost(provider, model, {"input_tokens": sent, "output_tokens": received})
        run = scope.run
        while run is not None and run.outer is not None:
            run = run.outer
        return {
            "tokens": (sent or 0) + (received or 0) or (None if sent is None else 0),
            "money": money,
            "tenant": scope.labels.get("tenant"),
            "user": scope.labels.get("user"),
            "model": model,
            "operation": operation,
            "provider": provider,
            "run": run.id if run is not None else None,
        }

    def reconcile(
        self,
        ledger: Ledger | None = None,
        *,
        tenant: str | None = None,
        user: str | None = None,
        model: str | None = None,
        operation: str | None = None,
    ) -> int:
        """Settle what processes that were killed had reserved with what the ledger knows of their calls.

        Done by itself by every process with a ledger, when it begins to reserve and when reservations lapse. Each is
        settled once, whoever does it.

        Args:
            ledger: The ledger that the calls were recorded in; the one that is open for writing by default.
            tenant: Whose reservations may have lapsed without anybody having noticed yet; as in `usage`.
            user: The same.
            model: The same.
            operation: The same.

        Returns:
            How many were settled.

        Raises:
            ValueError: There is no ledger.
            LedgerError: The sums or the ledger cannot be reached.
        """
        ledger = ledger if ledger is not None else current_ledger()
        if ledger is None:
            msg = "reconciling takes a ledger: Ledger.open(url, attach=False)"
            raise ValueError(msg)
        self.standing((tenant, user, model, operation))
        return recover(self, self.lapsed(), ledger)

    def override(self, who: str, why: str) -> Override:
        """Return what lets calls through whatever the limits say: `ragmeter.run(quota=quota.override("root", "demo"))`.

        What is spent counts. Calls that pass a limit are written down with `who` and `why`, see `notes`.
        """
        return Override(self, (who, why))

    def on_warning(self, listener: Callable[[dict[str, Any]], object]) -> None:
        """Have `listener` called with how a limit stands whenever a mark of it is reached or a warning one is passed.

        `mark` is the share that was reached, None if a limit that only warns was passed, which is said in each process
        at most once an hour. Of all processes the one whose call did it hears of it, most often in a thread of the
        quota's own. Its errors are counted and go no further.
        """
        self._listeners.append(listener)

    def _price(self, provider: str | None, model: str | None, usage: Usage) -> Decimal | None:
        with guard("pricing a call for its quota"):
            cost = self._cost(provider, model, usage.as_dict())
            return usage.cost if cost is None else cost
        return None

    def _cost(self, provider: str | None, model: str | None, counts: Mapping[str, Any]) -> Decimal | None:
        cost: Decimal | None = self.prices.cost(provider, model, counts) if self.prices is not None else None
        return cost

    def _unreachable(self, exc: LedgerError) -> None:
        logger.warning("ragmeter: quota %s", exc)

    def _warn(self, said: Sequence[dict[str, Any]]) -> None:
        for row in said:
            with guard("warning of a quota"):
                standing = standing_of(row)
                mark = row["mark"]
                standing["mark"] = None if mark is None else mark / 1000
                state = "passed its limit" if mark is None else f"reached {mark / 10:g} % of its limit"
                logger.warning("ragmeter: quota '%s' has %s %s", row["name"], state, row["counted_for"])
                self._announce(standing)
            for listener in self._listeners:
                with guard("a listener of quota warnings"):
                    listener(standing)

    def _announce(self, standing: Mapping[str, Any]) -> None:
        """Put the warning into the outbox, if there is a ledger and a webhook."""
        if current_ledger() is not None:
            from ragmeter.export.webhook import announce

            announce(standing["name"], "quota.warning", json.loads(json.dumps(standing, default=str)))
