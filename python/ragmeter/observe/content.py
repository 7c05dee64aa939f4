"""Content: reads the body of an `aiohttp` response while its user reads it, in whatever way."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from ragmeter.meter import guard
from ragmeter.observe.tap import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragmeter.observe.exchange import Exchange

__all__ = ["tap_content"]


def tap_content(response: Any, exchange: Exchange, *, events: bool) -> None:
    """Let `exchange` learn the usage from an `aiohttp.ClientResponse` while it is read, or when it is let go.

    Its public `content` is replaced by one that passes everything on, and so are `release` and `close`, on that one
    object; afterwards they are what they were.
    """
    tap = _Tap(response, reader_of(exchange, events=events))
    exchange.leave = tap.over
    response.content = _content_class()(response.content, tap)
    response.release, response.close = tap.ending(response.release), tap.ending(response.close)


class _Tap:
    def __init__(self, response: Any, reader: Any) -> None:
        self._response = response
        self._reader = reader
        self._over = False

    def read(self, content: Any, chunk: Any) -> Any:
        """Read what was read of `content`, bytes or a pair of bytes and a flag; returns it."""
        with guard("reading a response"):
            self._reader.feed(chunk[0] if isinstance(chunk, tuple) else chunk)
            if content.at_eof():
                self.over(whole=True)
        return chunk

    def over(self, *, whole: bool = False) -> None:
        """Tell the exchange what has come so far."""
        if self._over:
            return
        self._over = True
        with guard("reading a response"):
            self._reader.over(whole=whole)
            for name in ("release", "close"):
                vars(self._response).pop(name, None)

    def ending(self, own: Callable[[], Any]) -> Callable[[], Any]:
        """Return `own`, a method that lets the response go."""

        def end() -> Any:
            self.over()
            return own()

        return end


_READS = ("read", "readany", "readline", "readuntil", "readexactly", "readchunk")
_ITERATORS = ("iter_any", "iter_chunked", "iter_chunks")
"""What reads through the methods above, whoever they are."""


@functools.cache
def _content_class() -> type:
    """The class of a content that is as its own in all but that it is listened to; its data stay where they are."""
    from aiohttp import StreamReader

    class Content(StreamReader):  # type: ignore[misc]
        __slots__ = ("_ragmeter_own", "_ragmeter_tap")

        def __init__(self, own: Any, tap: _Tap) -> None:
            self._ragmeter_own = own
            self._ragmeter_tap = tap

        def __getattr__(self, name: str) -> Any:
            return getattr(self._ragmeter_own, name)

        def __repr__(self) -> str:
            return repr(self._ragmeter_own)

        def read_nowait(self, *args: Any) -> Any:
            return self._ragmeter_tap.read(self._ragmeter_own, self._ragmeter_own.read_nowait(*args))

    for name, member in vars(StreamReader).items():
        if name in _READS:
            setattr(Content, name, _reading(name))
        elif inspect.isfunction(member) and not name.startswith("_") and name not in (*_ITERATORS, "read_nowait"):
            setattr(Content, name, _handing_on(name))
    return Content


def _reading(name: str) -> Callable[..., Any]:
    async def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            chunk = await getattr(self._ragmeter_own, name)(*args, **kwargs)
        except BaseException:
            self._ragmeter_tap.over()
            raise
        return self._ragmeter_tap.read(self._ragmeter_own, chunk)

    return read


def _handing_on(name: str) -> Callable[..., Any]:
    def hand_on(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._ragmeter_own, name)(*args, **kwargs)

    return hand_on
