"""Quota: what somebody may spend; reserved before a call, settled after it. See docs/quotas.md."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any

from ragmeter._native import LedgerError, QuotaCore, QuotaHold
from ragmeter.forecast import Forecast
from ragmeter.ledger import current_ledger, dollars
from ragmeter.meter import QuotaError, guard, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragmeter._native import Scope, Usage

    Rows = list[dict[str, Any]]
    Listeners = list[Callable[[dict[str, Any]], object]]

__all__ = ["Quota", "QuotaError", "QuotaExceeded", "QuotaUnavailable", "Reservation"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MOST_RUNS = 10_000
"""How many runs are remembered as begun."""


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

        If the sums cannot be reached now it is done later.

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
            self._quota._warn(self._hold.settle(tokens, calls, amount))
        else:
            try:
                self._quota._warn(self._quota.charge(self._who, tokens, calls, amount))
            except LedgerError as exc:
                self._quota._unreachable(exc)

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
        url: str,
        *,
        prices: Any = None,
        lease: float = 60.0,
        when_down: str = "closed",
        output_tokens: int = 1024,
    ) -> Quota:
        """Open a quota. Processes that open the same URL share its limits and sums.

        Args:
            url: That of a ledger (`sqlite:PATH`, `postgresql://…`, `mysql://…`) or `redis://host:port/0`, `rediss://…`,
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
        return [_limit(row) for row in self.limits()]

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
        return [_standing(row) for row in self.standing((tenant, user, model, operation))]

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
        who = (tenant, user, model, operation)
        about = (operation, provider, model)
        amount = None if money is None else picodollars(money)
        running = run is not None and run in self._begun
        try:
            hold, said = self.take(
                who, tokens, calls, amount, running, word, instead._hold if instead is not None else None
            )
        except LedgerError as exc:
            self._unreachable(exc)
            self.count_blind(self.when_down == "closed")
            if self.when_down == "closed":
                msg = f"the quota cannot be reached, and calls are refused then: {exc}"
                raise QuotaUnavailable(msg) from exc
            return Reservation(self, None, about, who)
        if hold is None:
            raise QuotaExceeded(_standing(said[0]))
        if run is not None and not running:
            self._begun[run] = None
            if len(self._begun) > _MOST_RUNS:
                del self._begun[next(iter(self._begun))]
        self._warn(said)
        return Reservation(self, hold, about, who)

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
        operation, provider, model = labels.get("operation"), labels.get("provider"), labels.get("model")
        sent = received = money = None
        with guard("estimating a call for its quota"):
            sent, received = self.forecast.of(operation, model, request() if request is not None else None)
            if sent is not None and received is not None:
                money = self._cost(provider, model, {"input_tokens": sent, "output_tokens": received})
        run = scope.run
        while run is not None and run.outer is not None:
            run = run.outer
        payer = scope.labels
        return self.reserve(
            (sent or 0) + (received or 0) or (None if sent is None else 0),
            money=money,
            tenant=payer.get("tenant"),
            user=payer.get("user"),
            model=model,
            operation=operation,
            provider=provider,
            run=run.id if run is not None else None,
            word=word,
            instead=instead,
        )

    def override(self, who: str, why: str) -> Override:
        """Return what lets calls through whatever the limits say: `ragmeter.run(quota=quota.override("root", "demo"))`.

        What is spent counts. Calls that pass a limit are written down with `who` and `why`, see `notes`.
        """
        return Override(self, (who, why))

    def on_warning(self, listener: Callable[[dict[str, Any]], object]) -> None:
        """Have `listener` called with how a limit stands whenever a mark of it is reached or a warning one is passed.

        `mark` is the share that was reached, None if a limit that only warns was passed. Of all processes the one
        whose call did it hears of it, in the thread that made the call. Its errors are counted and go no further.
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
                standing = _standing(row)
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


class Override:
    """A quota whose limits do not hold, on somebody's word; made by `Quota.override`."""

    __slots__ = ("_quota", "_word")

    def __init__(self, quota: Quota, word: tuple[str, str]) -> None:
        self._quota = quota
        self._word = word

    def admit(
        self,
        scope: Scope,
        labels: Mapping[str, Any],
        request: Callable[[], Mapping[str, Any]] | None,
        instead: Reservation | None = None,
    ) -> Reservation:
        """Reserve as `Quota.admit` does, and pass every limit."""
        return self._quota.admit(scope, labels, request, instead, self._word)


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


def _limit(row: Mapping[str, Any]) -> dict[str, Any]:
    marks = [mark / 1000 for mark in row["marks"]]
    return {**row, "limit": _amount(row["measure"], row["limit"]), "marks": marks}


def _standing(row: Mapping[str, Any]) -> dict[str, Any]:
    found, resets_at = _limit(row), row["resets_at"]
    for name in ("used", "reserved", "asked"):
        if name in row:
            found[name] = _amount(row["measure"], row[name])
    found["remaining"] = _amount(row["measure"], max(row["limit"] - row["used"] - row["reserved"], 0))
    found["resets_at"] = None if resets_at is None else _EPOCH + timedelta(microseconds=resets_at)
    return found
