"""Answer: an HTTP answer on its way out, into which a page puts its numbers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter.lightrag.server.pages import Page

    Message = dict[str, Any]

__all__ = ["Answer"]


class Answer:
    """The `send` of a request: hands a JSON body to the page whole, and a stream of lines as it comes.

    What is neither, is compressed or is no 200 passes as it is.

    Attributes:
        complete: Whether the answer has gone out to its end.
    """

    def __init__(self, send: Callable[[Message], Awaitable[None]], page: Page) -> None:
        self.complete = False
        self._send = send
        self._page = page
        self._kind: str | None = None
        self._start: Message = {}
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """Send a message of ASGI."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            await self._go_on(message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        with guard("reading the head of an answer"):
            self._kind = _kind(message)
            if self._kind not in self._page.changes:
                self._kind = None
        if self._kind == "lines":
            message = {**message, "headers": _without_length(message)}
        if self._kind == "json":
            self._start = message  # goes out with the body, whose length is not known yet
        else:
            await self._send(message)

    async def _go_on(self, message: Message) -> None:
        last = not message.get("more_body", False)
        data = message.get("body", b"")
        if self._kind == "json":
            self._body.append(data)
            if not last:
                return
            data = b"".join(self._body)
            with guard("putting usage into an answer"):
                data = await self._page.body(data)
            length = (b"content-length", str(len(data)).encode())
            await self._send({**self._start, "headers": [*_without_length(self._start), length]})
        elif self._kind == "lines":
            with guard("putting usage into a stream"):
                data = self._page.feed(data)
                if last:
                    data += self._page.end()
        self.complete = last
        await self._send({**message, "body": data})


def _kind(start: Message) -> str | None:
    headers = {bytes(name).lower(): bytes(value).lower() for name, value in start.get("headers", ())}
    if start["status"] != HTTPStatus.OK or b"content-encoding" in headers:
        return None
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip()
    return {b"application/json": "json", b"application/x-ndjson": "lines"}.get(kind)


def _without_length(start: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in start.get("headers", ()) if bytes(name).lower() != b"content-length"]
