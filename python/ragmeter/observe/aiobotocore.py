"""Observer of Amazon Bedrock through `aioboto3` or bare `aiobotocore`; see the one of `botocore`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ragmeter.observe.bedrock import answered, begin, plan_retries
from ragmeter.observe.content import tap_content
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.tap import tap
from ragmeter.observe.watch import watch

if TYPE_CHECKING:
    from ragmeter.observe.exchange import Exchange

__all__ = ["plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    from aiobotocore.client import AioBaseClient
    from aiobotocore.endpoint import AioEndpoint

    patches = Patches()
    call = required(AioBaseClient, "_make_api_call", own=True)
    patches.plan(AioBaseClient, "_make_api_call", watch(call, begin, functools.partial(answered, _tap_body)))
    plan_retries(patches, AioEndpoint)
    return patches


def _tap_body(exchange: Exchange, body: Any) -> None:
    """Learn from a body while it is read: it stands around a response of aiohttp, or of httpx."""
    response = getattr(body, "__wrapped__", body)
    if hasattr(response, "aiter_bytes"):
        tap(response, exchange, events=False, swallow_usage=False)
    else:
        tap_content(response, exchange, events=False)
