"""Careful: HTTP clients for the OpenAI SDK that a stranger's server cannot keep waiting, fill up, or send elsewhere."""

from __future__ import annotations

import asyncio
import functools
import importlib
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter.tenants.secret import scrub_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ragmeter.tenants.reach import Reach

__all__ = ["BadAnswerError", "Care", "careful_client", "reaching_client"]


class BadAnswerError(Exception):
    """A server answered with something that no model API answers with; the text holds no secret."""


class Care(NamedTuple):
    """How long, in seconds, and how large, in bytes, an answer may be; and what may be called, None for anything."""

    seconds: float
    size: int = 4 << 20
    reach: Reach | None = None


def careful_client(care: Care, *, asynchronous: bool) -> Any:
    """Return a client of the library that the SDK runs on (httpx, or httpx2 since release 3)."""
    import openai

    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
    sync_stream, async_stream = _streams(library)

    def hook(response: Any) -> None:
        _look(response, care)
        response.stream = sync_stream(response.stream, care)

    async def async_hook(response: Any) -> None:
        _look(response, care)
        response.stream = async_stream(response.stream, care)

    make: Any = openai.DefaultAsyncHttpxClient if asynchronous else openai.DefaultHttpxClient
    options: dict[str, Any] = {}
    if care.reach is not None:
        # A proxy of the environment would resolve the name once more, and elsewhere.
        options = {"transport": _transports(library)[asynchronous](care.reach), "trust_env": False}
    return make(
        **options,
        event_hooks={"response": [async_hook if asynchronous else hook]},
        follow_redirects=False,
        timeout=care.seconds,
        headers={"accept-encoding": "identity"},  # not compressed: a megabyte may unpack to a thousand
    )


def reaching_client(reach: Reach, *, asynchronous: bool) -> Any:
    """Return a client of the same library that goes nowhere else, on redirects too."""
    import openai

    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
    make: Any = openai.DefaultAsyncHttpxClient if asynchronous else openai.DefaultHttpxClient
    return make(transport=_transports(library)[asynchronous](reach), trust_env=False)


def _look(response: Any, care: Care) -> None:
    if response.is_redirect:
        msg = f"it redirects to {scrub_url(response.headers.get('location', '?'))}; keys are not sent elsewhere"
        raise BadAnswerError(msg)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"} and response.is_success:
        msg = f"it answers with {kind} instead of JSON; is the URL that of an API?"
        raise BadAnswerError(msg)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        msg = "it answers with compressed data that nobody asked for"
        raise BadAnswerError(msg)
    length = response.headers.get("content-length", "0")
    if length.isdigit():
        _check(care, int(length), time.monotonic())


def _check(care: Care, size: int, began: float) -> None:
    if size > care.size:
        msg = f"its answer is larger than {care.size:,} bytes"
        raise BadAnswerError(msg)
    if time.monotonic() - began > care.seconds:
        msg = f"its answer takes longer than {care.seconds:g} s"
        raise BadAnswerError(msg)


@functools.cache
def _transports(library: Any) -> tuple[Any, Any]:
    """Transports that connect to the address that was looked at; the certificate is that of the name all the same."""

    def aim(request: Any, address: str) -> None:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=address)

    class Transport(library.HTTPTransport):  # type: ignore[misc]
        def __init__(self, reach: Reach) -> None:
            super().__init__()
            self._reach = reach

        def handle_request(self, request: Any) -> Any:
            aim(request, self._reach.resolve(request.url.host, request.url.port or 443))
            return super().handle_request(request)

    class AsyncTransport(library.AsyncHTTPTransport):  # type: ignore[misc]
        def __init__(self, reach: Reach) -> None:
            super().__init__()
            self._reach = reach

        async def handle_async_request(self, request: Any) -> Any:
            host, port = request.url.host, request.url.port or 443
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            aim(request, self._reach.choose(host, found))
            return await super().handle_async_request(request)

    return Transport, AsyncTransport


@functools.cache
def _streams(library: Any) -> tuple[Any, Any]:
    """Bodies that end at the limit, for one of the libraries."""

    class Stream(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Any, care: Care) -> None:
            self._inner, self._care, self._began = inner, care, time.monotonic()

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in self._inner:
                size += len(chunk)
                _check(self._care, size, self._began)
                yield chunk

        def close(self) -> None:
            self._inner.close()

    class AsyncStream(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Any, care: Care) -> None:
            self._inner, self._care, self._began = inner, care, time.monotonic()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in self._inner:
                size += len(chunk)
                _check(self._care, size, self._began)
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Stream, AsyncStream
