"""The stub server: one thread, one event loop, any number of connections."""

from __future__ import annotations

import asyncio
import logging
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from ragmeter.testing.bill import Bill, Totals
from ragmeter.testing.call import dump
from ragmeter.testing.desk import Desk, Reply, Settings
from ragmeter.testing.fault import Fault, Faults, Rule
from ragmeter.testing.text import pieces
from ragmeter.testing.wire import LONGEST_HEAD, BrokenLineError, Line, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from ragmeter.testing.prompt import Prompt
    from ragmeter.testing.text import Tokenizer

logger = logging.getLogger(__name__)


class StubServer:
    """An OpenAI-compatible server on this machine that knows what it billed.

    Answers the prompts of LightRAG well enough to index documents and to ask about them. The same prompt gets the
    same answer. What is written is billed, whatever becomes of it on the way to the client: a plain answer whole, a
    stream as far as it had come when the connection broke or the client left.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        api_key: The only key that is let in; None lets everybody in.
        dimensions: Length of an embedding unless the request says `dimensions`.
        reasoning: Reasoning tokens billed for each visible token of an answer.
        per_chunk: Tokens in each chunk of a stream.
        tokenizer: Cuts a text into the tokens of a model, instead of the stub's own rule; put together again they are
            the text.
        cache_minimum: Tokens from which on the repeated beginning of a prompt counts as cached, in blocks of 128.
        answer: Writes the answers instead of the stub; returns None for those that the stub should write.

    Example:
        >>> with StubServer() as server:
        ...     client = openai.OpenAI(base_url=server.base_url, api_key="any")  # doctest: +SKIP
        ...     server.totals().calls
        0
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        dimensions: int = 64,
        reasoning: float = 0.25,
        per_chunk: int = 4,
        tokenizer: Tokenizer = pieces,
        cache_minimum: int = 1024,
        answer: Callable[[Prompt], str | None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._wanted = port
        self._desk = Desk(
            Settings(api_key, dimensions, reasoning, per_chunk, tokenizer, answer), cache_minimum=cache_minimum
        )
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._ready = Flag()
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The address without a path; Azure clients take it as `azure_endpoint`."""
        return f"http://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """The address that OpenAI clients take as `base_url`."""
        return f"{self.url}/v1"

    @property
    def dimensions(self) -> int:
        """Length of an embedding unless the request says `dimensions`."""
        return self._desk.settings.dimensions

    @property
    def faults(self) -> Faults:
        """What goes wrong, and when."""
        return self._desk.faults

    @property
    def bills(self) -> list[Bill]:
        """What was billed so far, in order; copies."""
        return self._desk.ledger.bills()

    @property
    def refused(self) -> list[Bill]:
        """The attempts that met a fault which answers with an error; they cost nothing."""
        return self._desk.ledger.refused()

    def bills_for(self, marker: str) -> list[Bill]:
        """The bills of requests with this marker in their text or in their `x-ragmeter-marker` header."""
        return [bill for bill in self.bills if marker in bill.markers]

    def totals(self, marker: str | None = None) -> Totals:
        """The sum of all bills, or of those with this marker."""
        return Totals.of(self.bills if marker is None else self.bills_for(marker))

    def reset(self) -> None:
        """Forget bills, faults, cached prompts and stored responses."""
        loop = self._loop
        if loop is None or not loop.is_running():
            self._desk.clear()
            return

        async def clear() -> None:
            self._desk.clear()

        asyncio.run_coroutine_threadsafe(clear(), loop).result()

    def start(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: The port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the stub server is already running")
        self._ready.clear()
        self._failure = None
        self._thread = Thread(target=self._run, name="ragmeter-stub", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            self._thread = None
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. The ledger can still be read."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._stopping = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._connected, self.host, self._wanted, limit=LONGEST_HEAD, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        waiting = list(self._connections)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        # Transports that were closed say goodbye in the next round of the loop.
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while request := await line.read():
                if not await self._answer(line, request) or not request.keep:
                    break
        except BrokenLineError:
            pass
        except asyncio.CancelledError:
            # The server stops. Ending quietly keeps asyncio from reporting the connection as a failed task.
            line.abort()
        finally:
            line.close()

    async def _answer(self, line: Line, request: Request) -> bool:
        """Send the answer to a request; False when the connection is of no more use."""
        try:
            reply = self._desk.serve(request)
        except Exception as error:
            logger.exception("the stub server failed on %s %s", request.method, request.path)
            body = {"error": {"message": repr(error), "type": "stub_failure", "param": None, "code": None}}
            await line.send(500, {"content-type": "application/json", "x-should-retry": "false"}, dump(body))
            return True
        fault = reply.rule.fault if reply.rule else None
        if reply.rule and fault is Fault.SLOW:
            await asyncio.sleep(reply.rule.delay)
        try:
            if reply.events is not None:
                return await self._stream(line, reply)
            cut = fault is Fault.CUT
            self._deliver(reply, reply.counts and not cut and not line.gone)
            await line.send(reply.status, reply.headers, reply.body, cut=cut)
            return not cut
        except BrokenLineError:
            self._deliver(reply, False)
            raise

    async def _stream(self, line: Line, reply: Reply) -> bool:
        rule = reply.rule
        # The last two events end the answer; a stream that is cut must lose at least them.
        events = [(event, reply.made.written if reply.made else 0) for event in reply.events or ()]
        stop = min(rule.after, max(0, len(events) - 2)) if rule and rule.fault in {Fault.CUT, Fault.STALL} else None
        written = 0
        try:
            await line.open(reply.headers)
            for number, (event, so_far) in enumerate(events):
                if rule and number == stop:
                    self._break_off(reply, written)
                    await self._stop(line, rule)
                if number and rule and rule.fault is Fault.SLOW:
                    await asyncio.sleep(rule.pause)
                written = so_far
                if event.counts:
                    self._deliver(reply, not line.gone)
                await line.push(event.data)
            await line.end()
        except BrokenLineError:
            self._break_off(reply, written)
            raise
        return True

    async def _stop(self, line: Line, rule: Rule) -> None:
        """End a stream where its fault says: reset the connection, or say nothing more until the client leaves."""
        if rule.fault is Fault.CUT:
            await asyncio.sleep(rule.pause)
            await line.reset()
        await line.left()
        raise BrokenLineError

    def _break_off(self, reply: Reply, written: int) -> None:
        if reply.bill is not None and reply.made is not None and written < reply.made.written:
            self._desk.ledger.break_off(reply.bill, written)

    def _deliver(self, reply: Reply, delivered: bool) -> None:
        if reply.bill is not None:
            self._desk.ledger.deliver(reply.bill, delivered)
