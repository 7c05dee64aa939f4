"""Watch: stands around a function of an SDK and turns what it returns, yields or raises into an exchange."""

from __future__ import annotations

import functools
import inspect
import weakref
from typing import TYPE_CHECKING, Any

from ragmeter._native import UsageStream, extract_usage
from ragmeter.meter import guard
from ragmeter.observe.exchange import Exchange, under_way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Begin = Callable[..., "Exchange | None"]
    Answered = Callable[[Exchange, Any], Any]

__all__ = ["Pieces", "apassed", "hear", "passed", "read", "watch", "watch_attempts"]


def watch(original: Callable[..., Any], begin: Begin, answered: Answered | None = None) -> Callable[..., Any]:
    """Return `original`, a function or a coroutine function of an SDK, with an exchange around each request.

    Args:
        original: What the SDK calls for a request.
        begin: Called with the same arguments; returns the exchange, or None for what is no business of ragmeter's.
        answered: Learns from what `original` returns, and returns what its caller gets; see `hear`.
    """
    answer = answered or hear
    name = f"{original.__module__}.{original.__qualname__}"

    def begun(args: Any, kwargs: Any) -> Exchange | None:
        with guard(f"looking at a request of {name}"):
            return begin(*args, **kwargs)
        return None

    def ended(exchange: Exchange, result: Any) -> Any:
        with guard(f"reading an answer of {name}"):
            return answer(exchange, result)
        exchange.lost()
        return result

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        exchange = begun(args, kwargs)
        if exchange is None:
            return original(*args, **kwargs)
        exchange.admit()
        token = under_way.set(exchange)
        try:
            result = original(*args, **kwargs)
        except BaseException as exc:
            exchange.failed(exc)
            raise
        finally:
            under_way.reset(token)
        return ended(exchange, result)

    @functools.wraps(original)
    async def acall(*args: Any, **kwargs: Any) -> Any:
        exchange = begun(args, kwargs)
        if exchange is None:
            return await original(*args, **kwargs)
        await exchange.aadmit()
        token = under_way.set(exchange)
        try:
            result = await original(*args, **kwargs)
        except BaseException as exc:
            exchange.failed(exc)
            raise
        finally:
            under_way.reset(token)
        return ended(exchange, result)

    return acall if inspect.iscoroutinefunction(original) else call


def watch_attempts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original`, one attempt of an SDK that may try again: each that fails and may be billed counts."""

    @functools.wraps(original)
    def attempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except BaseException as exc:
            _failed(exc)
            raise

    @functools.wraps(original)
    async def aattempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        except BaseException as exc:
            _failed(exc)
            raise

    return aattempt if inspect.iscoroutinefunction(original) else attempt


def _failed(exc: BaseException) -> None:
    exchange = under_way.get()
    if exchange is not None:
        exchange.failed(exc)


def hear(exchange: Exchange, result: Any, *, sent: bool = False, content: Callable[[Any], Any] | None = None) -> Any:
    """Learn from an answer, or from a generator of its pieces while it is read; returns what stands in for it.

    Args:
        exchange: What it is an answer to.
        result: What the SDK returned.
        sent: Whether a generator has sent its request already; others send it when they are first asked for a piece.
        content: Returns what there is to read of a piece; None if that is the piece itself.
    """
    if not (inspect.isgenerator(result) or inspect.isasyncgen(result)):
        read(exchange, result)
        return result
    pieces = Pieces(exchange, content)
    stream = passed(pieces, result) if inspect.isgenerator(result) else apassed(pieces, result)
    if sent:
        pieces.begin()
        weakref.finalize(stream, pieces.over).atexit = False
    return stream


def read(exchange: Exchange, answer: Any, **hints: Any) -> None:
    """Learn from an answer that is there as a whole: an object of the SDK, a dict, or the text of its body."""
    usage = extract_usage(answer, api=exchange.operation, **hints)
    delivered = None
    if usage is None:
        reader = UsageStream(keep_text=True)
        reader.feed(answer)
        delivered = reader.text or None
    exchange.over(usage, delivered)


class Pieces:
    """Reads the pieces of an answer, bytes or objects of the SDK, as they pass."""

    def __init__(self, exchange: Exchange, content: Callable[[Any], Any] | None = None) -> None:
        self.exchange = exchange
        self._content = content
        self._reader = UsageStream(api=exchange.operation, keep_text=True)
        self._some = self._refused = self._ended = False

    def begin(self) -> None:
        """Learn that the request is on its way."""
        self.exchange.leave = self.over

    def feed(self, piece: Any) -> None:
        """Read a piece."""
        with guard("reading a piece of an answer"):
            self._some = True
            self._reader.feed(self._content(piece) if self._content is not None else piece)

    def failed(self, exc: BaseException) -> None:
        """Learn of an error of the SDK; before the first piece it is one of the request."""
        if not self._some:
            self._given_up()
            self.exchange.failed(exc)

    def refused(self) -> None:
        """Learn that the first piece is a refusal."""
        if not self._some:
            self._given_up()
            self.exchange.refused()

    def _given_up(self) -> None:
        self._refused = True
        self.exchange.leave = None

    def ended(self) -> None:
        """Learn that there are no more pieces."""
        self._ended = True

    def over(self) -> None:
        """End with what has come so far."""
        if not self._refused:
            with guard("reading an answer"):
                whole = self._ended or self._reader.done
                self.exchange.over(self._reader.finish(), self._reader.text, whole=whole)


def passed(pieces: Pieces, stream: Any) -> Iterator[Any]:
    """Pass an iterator of pieces on as it is."""
    pieces.begin()
    try:
        while True:
            token = under_way.set(pieces.exchange)
            try:
                piece = next(stream)
            except StopIteration:
                pieces.ended()
                return
            except BaseException as exc:
                pieces.failed(exc)
                raise
            finally:
                under_way.reset(token)
            pieces.feed(piece)
            yield piece
    finally:
        pieces.over()
        stream.close()


async def apassed(pieces: Pieces, stream: Any) -> AsyncIterator[Any]:
    """Like `passed`, for an async iterator."""
    pieces.begin()
    try:
        while True:
            token = under_way.set(pieces.exchange)
            try:
                piece = await anext(stream)
            except StopAsyncIteration:
                pieces.ended()
                return
            except BaseException as exc:
                pieces.failed(exc)
                raise
            finally:
                under_way.reset(token)
            pieces.feed(piece)
            yield piece
    finally:
        pieces.over()
        await stream.aclose()
