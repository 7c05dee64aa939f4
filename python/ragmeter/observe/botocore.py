"""Observer of Amazon Bedrock through `boto3` or bare `botocore`: converse and invoke_model, and the streams of both.

One place sees every call of every service, and lets all but Bedrock's models pass: `BaseClient._make_api_call`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ragmeter.observe.bedrock import answered, begin, plan_retries
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.tap import reader_of
from ragmeter.observe.watch import watch

if TYPE_CHECKING:
    from ragmeter.observe.exchange import Exchange

__all__ = ["plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    from botocore.client import BaseClient
    from botocore.endpoint import Endpoint

    patches = Patches()
    call = required(BaseClient, "_make_api_call")
    patches.plan(BaseClient, "_make_api_call", watch(call, begin, functools.partial(answered, _tap_body)))
    plan_retries(patches, Endpoint)
    return patches


def _tap_body(exchange: Exchange, body: Any) -> None:
    """Learn from a `StreamingBody` while it is read."""
    reader = reader_of(exchange, events=False)
    own_read, own_close = body.read, body.close

    def read(amt: int | None = None) -> bytes:
        try:
            chunk: bytes = own_read(amt)
        except BaseException:
            reader.over()
            raise
        reader.feed(chunk)
        if amt is None or not chunk:
            reader.over(whole=True)
        return chunk

    def close() -> None:
        reader.over()
        own_close()

    exchange.leave = reader.over
    body.read, body.close = read, close
