"""Ledger: opened, asked, and closed when the process ends."""

from __future__ import annotations

import atexit
import functools
import os
from typing import TYPE_CHECKING, Any

from ragmeter._native import (
    LedgerCore,
    LedgerError,
    after_fork_in_parent,
    before_fork,
    set_ledger_notice,
)
from ragmeter.ledger.question import Question
from ragmeter.meter import guard, logger, report_error
from ragmeter.quantity import dollars, micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from ragmeter.prices import Prices

__all__ = ["Ledger", "LedgerError", "configure", "current_ledger", "dollars", "micros"]

_open: list[Ledger] = []


class Ledger(LedgerCore):
    """The durable book of calls. Make one with `Ledger.open()`.

    Example:
        >>> import ragmeter, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with ragmeter.Ledger.open(f"sqlite:{folder.name}/ledger.db") as ledger:
        ...     ragmeter.record_tokens(12, 3, "gpt-4o-mini")
        ...     ledger.flush()
        ...     [(row["model"], row["usage"]["total_tokens"]) for row in ledger.usage(by=["model"])]
        True
        [('gpt-4o-mini', 15)]
        >>> folder.cleanup()
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        durability: str = "relaxed",
        journal: str | os.PathLike[str] | None = None,
        journal_limit: int = 1 << 30,
        attach: bool = True,
    ) -> Ledger:
        """Open a ledger; every call that is recorded from now on goes to it.

        Args:
            url: `sqlite:PATH`, `postgresql://user:password@host/database` or `mysql://…`; with `?sslmode=verify-full`
                and so on for the servers.
            durability: `relaxed` (a kill loses at most the last 50 ms), `journal` (survives a kill as soon as it is
                recorded) or `fsync` (survives a power cut as soon as it is recorded).
            journal: Folder of the files that hold what the database does not have yet.
            journal_limit: Bytes that they may take for this process; beyond them calls are refused and counted.
            attach: False to read only.

        Raises:
            ValueError: The URL or the durability is none.
            LedgerError: The database refuses us, is damaged, or was made by a newer ragmeter. One that cannot be
                reached is no error where calls are recorded: they wait in the journal.
        """
        ledger = cls(url, durability, journal, journal_limit)
        try:
            ledger.check()
        except LedgerError as exc:
            if not attach or exc.kind not in {"unavailable", "busy"}:
                raise
            logger.warning("ragmeter: ledger %s; calls wait in the journal", exc)
        if attach:
            ledger._begin()
        return ledger

    def _begin(self) -> None:
        self.attach()
        _open.append(self)
        _arrange()
        with guard("sending what waits in the outbox"):
            from ragmeter.export.webhook import send_when_used  # which knows the ledger

            send_when_used(self)

    def ensure_attached(self) -> None:
        """Let every call from now on go to this ledger, if they do not yet."""
        if self not in _open:
            self._begin()

    def close(self, timeout: float = 10.0) -> bool:
        """Flush for at most `timeout` seconds and stop, sending included; whether the database has everything.

        What it does not have stays in the journal, and a later process brings it; so with what waits to be sent.
        """
        if self in _open:
            _open.remove(self)
        return super().close(timeout)

    async def aflush(self, timeout: float = 10.0) -> bool:
        """Wait up to `timeout` seconds until the database has every call so far; whether it has."""
        import asyncio  # 50 ms, for those who await

        return await asyncio.to_thread(self.flush, timeout)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def usage(
        self,
        by: Sequence[str] = (),
        where: Mapping[str, str | None] | None = None,
        *,
        since: datetime | timedelta | int | str | None = None,
        until: datetime | timedelta | int | str | None = None,
        bucket: str | None = None,
        prices: Prices | None = None,
    ) -> list[dict[str, Any]]:
        """Return what calls cost together, from the roll-ups.

        Questions about provider, model, operation, role and tenant are answered from the smaller roll-up, others from
        the larger one. Hours count whole: those that hold `since` and `until` are in.

        Args:
            by: Labels to tell apart; each is a key of the rows.
            where: Labels that calls must have; None for calls without the label.
            since: Not earlier; see `micros`.
            until: Earlier.
            bucket: `hour`, `day` or `month` (UTC); rows then have `at` and come in order of time.
            prices: A `ragmeter.prices.Prices`; rows then have `cost`, in dollars, None where a price is unknown.

        Returns:
            Dicts with the labels, `calls`, `reported_calls`, `estimated_calls`, `unknown_calls`, `usage`, `cache_hits`
            and `saved_tokens` (what the host's own cache of answers spared; no part of the others),
            `reported_cost` (what providers said, in dollars, for `reported_cost_calls` calls), the largest first.
        """
        question = Question(tuple(by), dict(where or {}), micros(since), micros(until), bucket)
        return question.answer(self) if prices is None else question.priced(self, prices)

    def document(
        self, name: str, by: Sequence[str] = ("role", "model"), prices: Prices | None = None
    ) -> list[dict[str, Any]]:
        """Return what one upload cost, by its track id, else one document, by its id. Empty if nothing is known."""
        for label in ("track_id", "document"):
            rows = self.usage(by, {label: name}, prices=prices)
            if rows:
                return rows
        return []

    def calls(
        self,
        where: Mapping[str, str | None] | None = None,
        *,
        since: datetime | timedelta | int | str | None = None,
        until: datetime | timedelta | int | str | None = None,
        page: int = 1000,
    ) -> Iterator[dict[str, Any]]:
        """Yield single calls in order of time, reading `page` of them at once."""
        labels, after = dict(where or {}), None
        search = self.search(labels, micros(since), micros(until))
        while True:
            rows = self.page(labels, search, after, page)
            for row in rows:
                yield {**row, "reported_cost": dollars(row["reported_cost"])}
            if len(rows) < page:
                return
            after = (rows[-1]["id"], rows[-1]["part"])

    def prune(self, before: datetime | timedelta | int | str) -> int:
        """Remove single calls before the hour of `before` (`"90d"`: older than 90 days); roll-ups stay. How many."""
        return super().prune(micros(before) or 0)


def current_ledger() -> Ledger | None:
    """Return the ledger that was opened last for writing, or None."""
    return _open[-1] if _open else None


def configure(default: str | None = None) -> Ledger | None:
    """Open the ledger that the environment names, else the one at `default`, if there is either. Never raises.

    `RAGMETER_LEDGER` is its URL, `RAGMETER_DURABILITY`, `RAGMETER_JOURNAL` and `RAGMETER_JOURNAL_LIMIT` the rest. The
    database is reached for with the first call, not now.
    """
    url = os.environ.get("RAGMETER_LEDGER") or default
    if not url:
        return None
    try:
        ledger = Ledger(
            url,
            os.environ.get("RAGMETER_DURABILITY") or "relaxed",
            os.environ.get("RAGMETER_JOURNAL") or None,
            int(os.environ.get("RAGMETER_JOURNAL_LIMIT") or 1 << 30),
        )
        ledger._begin()
    except Exception as exc:  # noqa: BLE001 - the host must start all the same
        report_error("the ledger of RAGMETER_LEDGER", exc)
        return None
    return ledger


def _notice(text: str, bad: bool) -> None:
    (logger.error if bad else logger.info)("ragmeter: %s", text)


def _at_exit() -> None:
    try:
        timeout = float(os.environ.get("RAGMETER_EXIT_TIMEOUT") or 5)
    except ValueError:
        timeout = 5.0
    for ledger in _open.copy():
        ledger.close(timeout)


def at_exit(function: Callable[[], object]) -> None:
    """Have `function` called when this process or a child of it ends in an orderly way."""
    atexit.register(function)
    # Children of multiprocessing end without `atexit`.
    from multiprocessing import util

    def in_child(_: object) -> None:
        util.Finalize(None, function, exitpriority=-100)

    util.register_after_fork(function, in_child)


@functools.cache
def _arrange() -> None:
    """See to it that what was recorded is flushed when the process ends."""
    at_exit(_at_exit)


set_ledger_notice(_notice)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent)
