"""Just enough HTTP/1.1 on asyncio streams: keep-alive, chunked bodies both ways, and ways to break a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; the names of its headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    keep: bool
    """Whether the connection stays open after the answer."""


class BrokenLineError(Exception):
    """The connection ended, or what came over it is not HTTP."""


class Line:
    """One connection to a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def gone(self) -> bool:
        """Whether the client has closed its side."""
        return self._writer.is_closing() or self._reader.at_eof()

    async def read(self) -> Request | None:
        """The next request, or None when the client is done."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")[:-2]
            method, target, version = line.split(" ")
            pairs = (field.split(":", 1) for field in fields)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            if headers.get("expect", "").lower() == "100-continue":
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await self._read_body(headers)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
            return None
        url = urlsplit(target)
        keep = headers.get("connection", "").lower() != "close" and version == "HTTP/1.1"
        return Request(method, unquote(url.path), dict(parse_qsl(url.query)), headers, body, keep)

    async def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            length = int(headers.get("content-length", "0"))
            if not 0 <= length <= LONGEST_BODY:
                raise ValueError(f"content-length is {length}, expected at most {LONGEST_BODY}")
            return await self._reader.readexactly(length)
        body = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        while (await self._reader.readuntil(b"\r\n")) != b"\r\n":
            pass
        return bytes(body)

    async def send(self, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool = False) -> None:
        """Send a whole answer, or, cut, the first half of its body and no more."""
        head = _head(status, {**headers, "content-length": str(len(body))})
        await self._write(head + (body[: len(body) // 2] if cut else body))
        if cut:
            self._writer.close()

    async def open(self, headers: Mapping[str, str]) -> None:
        """Begin a streamed answer."""
        await self._write(_head(200, {**headers, "transfer-encoding": "chunked"}))

    async def push(self, data: bytes) -> None:
        """Send one chunk."""
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """End a streamed answer."""
        await self._write(b"0\r\n\r\n")

    async def reset(self) -> None:
        """Break the connection off once what was written has left: the client sees a reset, not an end."""
        transport = self._writer.transport
        sock: socket.socket | None = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(0)
        with contextlib.suppress(OSError):
            await self._writer.drain()
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def left(self) -> None:
        """Return when the client has closed its side."""
        with contextlib.suppress(OSError):
            while await self._reader.read(LONGEST_HEAD):
                pass

    def abort(self) -> None:
        """Close the connection and forget what was not sent yet."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def _write(self, data: bytes) -> None:
        if self.gone:
            raise BrokenLineError
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise BrokenLineError from error


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
