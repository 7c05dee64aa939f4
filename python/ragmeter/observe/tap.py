"""Tap: reads the body of an HTTP response (httpx or httpx2) while the SDK or its user reads it.

The bytes go through ragmeter's native readers on their way. Only public methods of the response are replaced, on that
one object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter._native import StreamFilter, UsageStream
from ragmeter.meter import guard
from ragmeter.observe.watch import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import TypeAlias

    from ragmeter.observe.exchange import Exchange

    Reader: TypeAlias = "_Asked | _Events | _Body"

__all__ = ["reader_of", "tap"]


class _Asked:
    """Reads a stream of events that ragmeter asked usage of, and takes out what that put in."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._filter = StreamFilter(swallow_usage=True, keep_text=True)

    def feed(self, chunk: bytes) -> bytes:
        return self._filter.feed(chunk)

    def rest(self) -> bytes:
        return self._filter.finish()

    def over(self, *, whole: bool = False) -> None:  # noqa: ARG002 - what was asked for comes at the end
        self._exchange.over(self._filter.usage, self._filter.text)


class _Events:
    """Reads a stream of events, whatever its format, and passes it on as it is."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stream = UsageStream(api=exchange.operation, keep_text=True)

    def feed(self, chunk: bytes) -> bytes:
        self._stream.feed(chunk)
        return chunk

    def rest(self) -> bytes:
        return b""

    def over(self, *, whole: bool = False) -> None:
        whole = whole or self._stream.done
        self._exchange.over(self._stream.finish(), self._stream.text, whole=whole)


class _Body:
    """Reads a plain body."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        self._chunks.append(chunk)
        return chunk

    def rest(self) -> bytes:
        return b""

    def over(self, *, whole: bool = False) -> None:  # noqa: ARG002 - a body that breaks off is no JSON
        read(self._exchange, b"".join(self._chunks))


def reader_of(exchange: Exchange, *, events: bool, swallow_usage: bool = False) -> Reader:
    """Return what reads the bytes of an answer.

    `feed` returns those to pass on, `rest` those that were held back; `over` tells the exchange.
    """
    if swallow_usage:
        return _Asked(exchange)
    return _Events(exchange) if events else _Body(exchange)


def tap(response: Any, exchange: Exchange, *, events: bool, swallow_usage: bool) -> None:
    """Let `exchange` learn the usage from `response`, now if its body is there, else while it is read.

    Args:
        response: An `httpx.Response` or `httpx2.Response`, sync or async.
        exchange: What it is an answer to.
        events: Whether a stream of events was asked for.
        swallow_usage: Whether usage was asked for by ragmeter and is to be taken out again.
    """
    reader = reader_of(exchange, events=events, swallow_usage=swallow_usage)
    if response.is_closed:
        reader.feed(response.content)
        reader.over(whole=True)
    else:
        exchange.leave = reader.over
        _Tap(response, reader).install()


class _Tap:
    """Stands between a response and whoever reads it."""

    def __init__(self, response: Any, reader: Reader) -> None:
        self._response = response
        self._reader = reader
        self._iter_bytes, self._close = response.iter_bytes, response.close
        self._aiter_bytes, self._aclose = response.aiter_bytes, response.aclose
        # httpx closes the response when its last raw bytes are read, before the last decoded bytes are handed out.
        self._reading = False

    def __del__(self) -> None:
        self._over()  # of a stream that nobody has read or closed

    def install(self) -> None:
        response = self._response
        response.iter_bytes, response.close = self.iter_bytes, self.close
        response.aiter_bytes, response.aclose = self.aiter_bytes, self.aclose

    def iter_bytes(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        chunks = self._iter_bytes(*args, **kwargs)
        try:
            while True:
                self._reading = True
                chunk = next(chunks, None)
                self._reading = False
                if out := self._rest() if chunk is None else self._feed(chunk):
                    yield out
                if chunk is None:
                    self._over(whole=True)
                    return
        finally:
            self._reading = False
            self._over()

    async def aiter_bytes(self, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        chunks = self._aiter_bytes(*args, **kwargs)
        try:
            while True:
                self._reading = True
                chunk = await anext(chunks, None)
                self._reading = False
                if out := self._rest() if chunk is None else self._feed(chunk):
                    yield out
                if chunk is None:
                    self._over(whole=True)
                    return
        finally:
            self._reading = False
            self._over()

    def close(self) -> None:
        if not self._reading:
            self._over()
        self._close()

    async def aclose(self) -> None:
        if not self._reading:
            self._over()
        await self._aclose()

    def _feed(self, chunk: bytes) -> bytes:
        with guard("reading a response"):
            return self._reader.feed(chunk)
        return chunk

    def _rest(self) -> bytes:
        with guard("reading a response"):
            return self._reader.rest()
        return b""

    def _over(self, *, whole: bool = False) -> None:
        with guard("reading a response"):
            self._reader.over(whole=whole)
