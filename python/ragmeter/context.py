"""Who pays: the current run, and how it is carried across tasks, threads, queues and processes.

A `ContextVar` carries the scope (the innermost run and its labels), so asyncio tasks, `asyncio.gather` and
`asyncio.to_thread` inherit it by themselves. Where a ContextVar gets lost, hand the scope over: `bind` for bare threads
and executors, `carry` and `resume` for queues and other processes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ragmeter._native import Entered, Run, RunBlock, Scope, current_scope, within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from typing_extensions import Self

    from ragmeter._native import Call
    from ragmeter.quota import Quota
    from ragmeter.quota.override import Override

__all__ = ["bind", "carry", "current_run", "label", "resume", "run", "within"]

F = TypeVar("F", bound="Callable[..., Any]")

_PREFIX = "rm1."


def current_run() -> Run | None:
    """Return the innermost run, or None outside any."""
    scope = current_scope()
    return scope.run if scope is not None else None


class _Async:
    """The same block with `async with`."""

    __slots__ = ()

    async def __aenter__(self) -> Any:
        return self.__enter__()  # type: ignore[attr-defined]

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)  # type: ignore[attr-defined]


class run(_Async, RunBlock):  # noqa: N801 - reads as a verb: `with ragmeter.run("ingest") as run:`
    """Open a run: a unit of work whose calls are counted together.

    Use it with `with` or `async with`. Runs nest; a call counts once in every run around it. Labels that are not given
    are those of the run around it. The `Run` it yields can be read during the run and after it, from any thread; calls
    that end later than the block (a stream that is still open) still count.

    Args:
        name: What you call it: "ingest", "question 17".
        keep_calls: How many of the newest calls to keep one by one for `Run.calls_list()`. Older ones count in the
            totals only.
        listeners: Each hears every call of the run: a `Run` adds it to its own totals, a function is called with the
            `Call` in the thread that made it and must be quick; its errors are counted in `health()`.
        quota: A `ragmeter.Quota`: every call that an observer sees in the run is reserved before and settled after;
            one that it has no room for is not made, and `QuotaExceeded` raised to whoever makes it.
        **labels: Who pays and for what: `tenant`, `user`, `session`, `document`, `track_id`, `role`, …

    Raises:
        TypeError: A label that does not exist.

    Example:
        >>> import ragmeter
        >>> with ragmeter.run("question 17", tenant="acme") as run:
        ...     ragmeter.record_tokens(12, 3)
        >>> run.usage.total_tokens
        15
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __new__(  # noqa: D102 - the class says it
            cls,
            name: str | None = None,
            *,
            keep_calls: int = 0,
            listeners: Sequence[Run | Callable[[Call], object]] = (),
            quota: Quota | Override | None = None,
            **labels: str | None,
        ) -> Self: ...
        def __enter__(self) -> Run: ...
        async def __aenter__(self) -> Run: ...


class label(_Async, Entered):  # noqa: N801 - reads as a verb
    """Lay labels over those in force, for the calls made in a block; opens no run.

    Example:
        >>> import ragmeter
        >>> with ragmeter.run() as run:
        ...     with ragmeter.label(role="extract"):
        ...         ragmeter.record_tokens(12, 3)
        >>> run.by("role")["extract"].calls
        1
    """

    __slots__ = ()

    def __new__(cls, **labels: str | None) -> Self:  # noqa: D102 - the class says it
        return super().__new__(cls, Scope(None, current_scope(), **labels))


def bind(fn: F) -> F:
    """Return `fn` tied to the scope in force now, for threads and executors that do not inherit it.

    Works for functions, coroutine functions, generators and async generators; the result may run in many threads at
    once.

    Example:
        >>> import ragmeter, threading
        >>> with ragmeter.run() as run:
        ...     thread = threading.Thread(target=ragmeter.bind(ragmeter.record_tokens), args=(12, 3))
        ...     thread.start(); thread.join()
        >>> run.calls
        1
    """
    import inspect  # 8 ms, for the few who need it

    scope = current_scope()

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with within(scope):
            return await fn(*args, **kwargs)

    def async_generator(*args: Any, **kwargs: Any) -> Any:
        return _drive_async(scope, fn(*args, **kwargs))

    def generator(*args: Any, **kwargs: Any) -> Any:
        return _drive(scope, fn(*args, **kwargs))

    def function(*args: Any, **kwargs: Any) -> Any:
        with within(scope):
            return fn(*args, **kwargs)

    bound: Callable[..., Any] = function
    if inspect.iscoroutinefunction(fn):
        bound = coroutine
    elif inspect.isasyncgenfunction(fn):
        bound = async_generator
    elif inspect.isgeneratorfunction(fn):
        bound = generator
    return cast("F", functools.update_wrapper(bound, fn))


def _drive(scope: Scope | None, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run each step of `generator` in `scope`; between the steps the caller's own scope is in force."""
    step: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with within(scope):
                item = step()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield item
        except GeneratorExit:
            with within(scope):
                generator.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - thrown in by the caller, handed on as it is
            step = functools.partial(generator.throw, exc)
        else:
            step = functools.partial(generator.send, sent)


async def _drive_async(scope: Scope | None, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Like `_drive`, for an async generator."""
    step: Callable[[], Any] = generator.__anext__
    while True:
        try:
            with within(scope):
                item = await step()
        except StopAsyncIteration:
            return
        try:
            sent = yield item
        except GeneratorExit:
            with within(scope):
                await generator.aclose()
            raise
        except BaseException as exc:  # noqa: BLE001 - thrown in by the caller, handed on as it is
            step = functools.partial(generator.athrow, exc)
        else:
            step = functools.partial(generator.asend, sent)


def carry() -> str:
    """Return the scope in force as text, to send along with a job to a queue or another process.

    The text holds the run's id and labels in plain form: printable ASCII without spaces, no secrets of ragmeter's.
    Outside any run it is valid too and resumes as "no run".
    """
    import base64
    import json

    scope = current_scope()
    content: dict[str, Any] = {}
    if scope is not None:
        content["labels"] = scope.labels
        if scope.run is not None:
            content["run"] = scope.run.carry()
            content["name"] = scope.run.name
    return _PREFIX + base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


class resume(_Async, Entered):  # noqa: N801 - reads as a verb
    """Put the scope of a `carry()` text in force, with `with` or `async with`.

    In the process that made the text, while its run is still in use, calls count in that very run. Elsewhere a run of
    the same id and labels is opened; its totals are those of this process, and calls carry the id to the ledger.

    A quota does not travel: name it again.

    Raises:
        ValueError: The text was not made by `carry()`.
    """

    __slots__ = ()

    def __new__(cls, token: str, *, quota: Quota | Override | None = None) -> Self:  # noqa: D102 - the class says it
        import base64
        import json

        try:
            if not token.startswith(_PREFIX):
                raise ValueError
            content = json.loads(base64.b64decode(token[len(_PREFIX) :], altchars=b"-_", validate=True))
            run = Run.resume(content["run"], content["name"]) if "run" in content else None
            scope = Scope(run, None, quota=quota, **content.get("labels", {}))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            msg = "resume() takes the text that carry() returned"
            raise ValueError(msg) from exc
        return super().__new__(cls, scope)

    if TYPE_CHECKING:

        def __enter__(self) -> Run | None: ...
        async def __aenter__(self) -> Run | None: ...
