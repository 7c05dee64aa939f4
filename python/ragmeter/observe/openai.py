"""Observer of the `openai` SDK: sync and async, OpenAI, Azure and every server that speaks the same protocol.

One place sees every call: `OpenAI.request` and `AsyncOpenAI.request`, which all resources go through, after retries
(releases 1.109 to 3.54; 3.x runs on httpx2, so the HTTP client below is not the place). Retries that the SDK makes in
between are seen where it sleeps before them.
"""

from __future__ import annotations

import functools
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ragmeter._native import extract_usage
from ragmeter.meter import guard, logger
from ragmeter.observe.exchange import Exchange
from ragmeter.observe.patch import Patches
from ragmeter.observe.tap import tap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["install", "uninstall"]

_OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "chat",
    "/responses": "chat",
    "/embeddings": "embeddings",
    "/audio/transcriptions": "speech2text",
    "/audio/translations": "speech2text",
    "/audio/speech": "tts",
}
"""Paths that are billed by what goes in and comes out, and what they do."""

_STREAMS_WITH_OPTIONS = ("/chat/completions", "/completions")

_PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together",
    "api.x.ai": "x_ai",
    "dashscope.aliyuncs.com": "dashscope",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "open.bigmodel.cn": "zhipu",
    "openrouter.ai": "openrouter",
}
"""End of the host name: provider, by its OpenTelemetry name where it has one."""

_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol")
"""Errors of httpx and httpx2 after which the server cannot have billed anything."""

_patches: Patches | None = None
_include_usage = True
_refuses_options: set[str] = set()
"""Base URLs of servers that have refused `stream_options`."""

_exchange: ContextVar[Exchange | None] = ContextVar("ragmeter_exchange", default=None)


def install(*, include_usage: bool | None = None) -> None:
    """Observe the SDK. `include_usage=None` means on, unless `RAGMETER_INCLUDE_USAGE` is `0`."""
    import openai

    global _include_usage, _patches  # noqa: PLW0603 - one SDK, one switch
    _include_usage = os.environ.get("RAGMETER_INCLUDE_USAGE", "1") != "0" if include_usage is None else include_usage
    if _patches is not None:
        return
    for client in (openai.OpenAI, openai.AsyncOpenAI):
        if not callable(getattr(client, "request", None)):
            msg = f"openai {openai.__version__} has no {client.__name__}.request; ragmeter cannot observe this release"
            raise ImportError(msg)
    patches = Patches()
    patches.plan(openai.OpenAI, "request", _sync_request(openai.OpenAI.request))
    patches.plan(openai.AsyncOpenAI, "request", _async_request(openai.AsyncOpenAI.request))
    if hasattr(openai.OpenAI, "_sleep_for_retry") and hasattr(openai.AsyncOpenAI, "_sleep_for_retry"):
        patches.plan(openai.OpenAI, "_sleep_for_retry", _before_retry(openai.OpenAI._sleep_for_retry))
        patches.plan(openai.AsyncOpenAI, "_sleep_for_retry", _before_retry(openai.AsyncOpenAI._sleep_for_retry))
    else:
        logger.warning(
            "ragmeter: openai %s retries where it cannot be seen; attempts that were billed and whose answer was lost "
            "are not recorded. Set max_retries=0 and retry yourself to have them counted.",
            openai.__version__,
        )
    patches.apply()
    _patches = patches


def uninstall() -> None:
    """Put the SDK back as it was."""
    global _patches  # noqa: PLW0603
    if _patches is not None:
        _patches.undo()
        _patches = None
    _refuses_options.clear()


class _Sent:
    """What ragmeter made of a request before it is sent."""

    __slots__ = ("base_url", "events", "exchange", "options", "wants_usage")

    def __init__(self, client: Any, options: Any) -> None:
        self.exchange: Exchange | None = None
        self.options = options
        self.wants_usage = False
        with guard("looking at an OpenAI request"):
            self._look(client, options)

    def _look(self, client: Any, options: Any) -> None:
        path = options.url.split("?")[0].rstrip("/")
        ending = next((ending for ending in _OPERATIONS if path.endswith(ending)), None)
        if ending is None or options.method.lower() != "post":
            return
        body = options.json_data if isinstance(options.json_data, dict) else {}
        self.base_url = str(client.base_url)
        self.events = body.get("stream") is True
        self.exchange = Exchange(_OPERATIONS[ending], body, _provider(client.base_url.host))
        chosen = body.get("stream_options")
        if (
            self.events
            and _include_usage
            and path.endswith(_STREAMS_WITH_OPTIONS)
            and self.base_url not in _refuses_options
            and (chosen is None or (isinstance(chosen, dict) and "include_usage" not in chosen))
        ):
            self.options = options.model_copy() if hasattr(options, "model_copy") else options.copy()
            self.options.json_data = {**body, "stream_options": {**(chosen or {}), "include_usage": True}}
            self.wants_usage = True

    def answered(self, result: Any) -> None:
        """Learn from what the SDK returns: a model object, a stream, or a raw response."""
        with guard("reading an OpenAI answer"):
            if self.exchange is None:
                return
            response = getattr(result, "http_response", None)
            if response is None and self.events:
                response = getattr(result, "response", None)
            if response is None:
                self.exchange.over(extract_usage(result), _text(result))
            else:
                tap(response, self.exchange, events=self.events, swallow_usage=self.wants_usage)

    def failed(self, exc: BaseException) -> bool:
        """Learn from an error. True if it is ragmeter's own wish that the server refused: send the original then."""
        with guard("looking at an OpenAI error"):
            if self.exchange is None:
                return False
            status = getattr(exc, "status_code", None)
            if status is None:
                if _may_be_billed(exc):
                    self.exchange.lost()
                return False
            self.exchange.refused()
            if self.wants_usage and status in {400, 404, 422} and "stream_options" in str(exc):
                _refuses_options.add(self.base_url)
                logger.warning("ragmeter: %s refuses stream_options; usage of its streams is estimated", self.base_url)
                return True
        return False


def _sync_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        sent = _Sent(self, options)
        token = _exchange.set(sent.exchange)
        try:
            result = original(self, cast_to, sent.options, *args, **kwargs)
        except BaseException as exc:
            if not sent.failed(exc):
                raise
        else:
            sent.answered(result)
            return result
        finally:
            _exchange.reset(token)
        return request(self, cast_to, options, *args, **kwargs)  # the server refused what ragmeter had added

    return request


def _async_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        sent = _Sent(self, options)
        token = _exchange.set(sent.exchange)
        try:
            result = await original(self, cast_to, sent.options, *args, **kwargs)
        except BaseException as exc:
            if not sent.failed(exc):
                raise
        else:
            sent.answered(result)
            return result
        finally:
            _exchange.reset(token)
        return await request(self, cast_to, options, *args, **kwargs)  # the server refused what ragmeter had added

    return request


def _before_retry(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the SDK's sleep before a retry: it runs while the error of the attempt before is being handled."""

    @functools.wraps(original)
    def sleep_for_retry(self: Any, *args: Any, **kwargs: Any) -> Any:
        with guard("looking at an OpenAI retry"):
            exchange, exc = _exchange.get(), sys.exc_info()[1]
            if exchange is not None and kwargs.get("response") is None and exc is not None and _may_be_billed(exc):
                exchange.lost()
        return original(self, *args, **kwargs)

    return sleep_for_retry


def _may_be_billed(exc: BaseException) -> bool:
    """Whether the request had reached the server when it failed: refused connections are not billed."""
    cause: BaseException | None = exc
    while cause is not None:
        if type(cause).__name__ in _NEVER_SENT:
            return False
        cause = cause.__cause__
    return True


def _provider(host: str) -> str | None:
    return next((name for ending, name in _PROVIDERS.items() if host == ending or host.endswith("." + ending)), None)


def _text(result: Any) -> str | None:
    """Text of a plain answer, for the estimate where it carries no usage."""
    parts: list[str] = []
    for choice in getattr(result, "choices", None) or []:
        message = getattr(choice, "message", None)
        parts += [getattr(choice, "text", None) or "", getattr(message, "content", None) or ""]
        for tool in getattr(message, "tool_calls", None) or []:
            parts.append(getattr(getattr(tool, "function", None), "arguments", None) or "")
    if not parts:
        text = getattr(result, "output_text", getattr(result, "text", None))
        return text if isinstance(text, str) else None
    return "".join(parts)
