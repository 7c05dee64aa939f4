"""Bedrock: what the observers of `botocore` and `aiobotocore` have in common.

Converse says its usage in its answer or in the last event of its stream; what is invoked says it in its headers, in the
last chunk of a stream, or in its body.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Any

from ragmeter._native import extract_usage
from ragmeter.meter import guard, logger
from ragmeter.observe.exchange import Exchange, under_way
from ragmeter.observe.watch import Pieces, apassed, passed, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from ragmeter.observe.patch import Patches

__all__ = ["answered", "begin", "plan_retries"]

_OPERATIONS = {
    "Converse": "chat",
    "ConverseStream": "chat",
    "InvokeModel": "chat",
    "InvokeModelWithResponseStream": "chat",
}


def begin(client: Any, operation_name: str, api_params: Mapping[str, Any]) -> Exchange | None:
    """Open the exchange of a call of any AWS service; None for those that are not Bedrock's models."""
    operation = _OPERATIONS.get(operation_name)
    if operation is None or client.meta.service_model.service_name != "bedrock-runtime":
        return None
    model = str(api_params.get("modelId", ""))
    if operation_name.startswith("Invoke"):
        operation = "embeddings" if "embed" in model else "rerank" if "rerank" in model else operation
    return Exchange(operation, model, "aws.bedrock", lambda: _in_openai_shape(model, api_params))


def plan_retries(patches: Patches, endpoint: type) -> None:
    """Plan to see the attempts that the SDK repeats: each that got no answer may be billed."""
    original = getattr(endpoint, "_needs_retry", None)
    if original is None:
        logger.warning("ragmeter: this release of botocore retries where it cannot be seen; lost attempts do not count")
        return

    @functools.wraps(original)
    def needs_retry(*args: Any, **kwargs: Any) -> Any:
        again = original(*args, **kwargs)
        if again:
            _repeated(args, kwargs)
        return again

    @functools.wraps(original)
    async def aneeds_retry(*args: Any, **kwargs: Any) -> Any:
        again = await original(*args, **kwargs)
        if again:
            _repeated(args, kwargs)
        return again

    patches.plan(endpoint, "_needs_retry", aneeds_retry if inspect.iscoroutinefunction(original) else needs_retry)


def _repeated(args: Any, kwargs: Any) -> None:
    with guard("looking at a retry"):
        exchange = under_way.get()
        exc = next((value for value in (*args, *kwargs.values()) if isinstance(value, Exception)), None)
        if exchange is not None and exc is not None:
            exchange.failed(exc)


def answered(tap_body: Callable[[Exchange, Any], None], exchange: Exchange, result: dict[str, Any]) -> dict[str, Any]:
    """Learn from an answer.

    Args:
        tap_body: Learns from a body while it is read, where the headers say nothing.
        exchange: What it is an answer to.
        result: The answer as botocore parsed it; a stream of events in it is replaced by one that is listened to.
    """
    if "stream" in result:
        result["stream"] = _listened(exchange, result["stream"])
    elif "body" not in result:
        read(exchange, result)
    elif hasattr(result["body"], "get_initial_response"):
        result["body"] = _listened(exchange, result["body"])
    else:
        said = extract_usage({}, api=exchange.operation, headers=result["ResponseMetadata"]["HTTPHeaders"])
        if said is None:
            tap_body(exchange, result["body"])
        else:
            exchange.over(said)
    return result


def _listened(exchange: Exchange, stream: Any) -> Any:
    """Return a stream of events that is `stream` in everything, its type included, and is listened to."""
    own: Any = type(stream)
    kind = _listening(own)
    listening = kind.__new__(kind)
    vars(listening).update(vars(stream))
    vars(listening)["_ragmeter_pieces"] = pieces = Pieces(exchange)
    pieces.begin()
    return listening


@functools.cache
def _listening(kind: Any) -> Any:
    class Listening(kind):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            return passed(self._ragmeter_pieces, _ahead(self._ragmeter_pieces, super().__iter__()))

        def close(self) -> Any:
            self._ragmeter_pieces.over()
            return super().close()

    if hasattr(kind, "__aiter__"):

        def __aiter__(self: Any) -> AsyncIterator[Any]:  # noqa: N807
            return apassed(self._ragmeter_pieces, _aahead(self._ragmeter_pieces, kind.__aiter__(self)))

        Listening.__aiter__ = __aiter__
    Listening.__name__, Listening.__qualname__, Listening.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Listening


def _ahead(pieces: Pieces, events: Iterator[Any]) -> Iterator[Any]:
    """Read one event further where a message stops: many readers stop there too, before the one with the usage."""
    for event in events:
        if not _stops(event):
            yield event
            continue
        late: BaseException | None = None
        try:
            last = next(events, None)
        except Exception as exc:  # noqa: BLE001 - raised where the reader would have met it
            last, late = None, exc
        if last is not None:
            pieces.feed(last)
            pieces.ended()
        yield event
        if late is not None:
            raise late
        if last is not None:
            yield last


async def _aahead(pieces: Pieces, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Like `_ahead`, for an async iterator."""
    async for event in events:
        if not _stops(event):
            yield event
            continue
        late: BaseException | None = None
        try:
            last = await anext(events, None)
        except Exception as exc:  # noqa: BLE001 - raised where the reader would have met it
            last, late = None, exc
        if last is not None:
            pieces.feed(last)
            pieces.ended()
        yield event
        if late is not None:
            raise late
        if last is not None:
            yield last


def _stops(event: Any) -> bool:
    return isinstance(event, dict) and "messageStop" in event


def _in_openai_shape(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(body.get("body"), (str, bytes)):
        try:
            body = json.loads(body["body"])
        except ValueError:
            return {"model": model}
    if "messages" in body:
        said = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        messages = [*said, *body["messages"]]
        return {"model": model, "messages": [{**one, "content": _text(one.get("content"))} for one in messages]}
    texts = [body.get(name) for name in ("query", "documents", "texts", "inputText", "prompt")]
    return {"model": model, "input": [text for text in texts if text is not None]}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(
        part["text"] for part in content or () if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
