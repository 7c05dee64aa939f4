"""Stainless: what the SDKs have in common that Stainless generates, or that were copied from one that it did.

One place sees every call: `request` of the client, which all resources go through, after retries. Retries that the SDK
makes in between are seen where it sleeps before them. Releases on httpx and on httpx2 are the same from here.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ragmeter.meter import guard, logger
from ragmeter.observe.exchange import Exchange, under_way
from ragmeter.observe.patch import Patches, required
from ragmeter.observe.tap import tap
from ragmeter.observe.watch import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Sent", "plan", "provider_of"]


class Sent:
    """What ragmeter made of a request before it is sent. A subclass knows one SDK."""

    OPERATIONS: Mapping[str, str] = {}
    """End of a path that is billed by what goes in and comes out: what it does."""

    PROVIDERS: Mapping[str, str] = {}
    """End of the host name: provider, by its OpenTelemetry name where it has one."""

    def __init__(self, client: Any, options: Any) -> None:
        self.exchange: Exchange | None = None
        self.options = options
        """What is sent, the caller's own or a changed copy."""
        self.events = False
        """Whether a stream of events was asked for."""
        self.swallow_usage = False
        """Whether ragmeter asked for usage, and has to take it out of the stream again."""
        with guard("looking at a request"):
            self._look(client, options)

    def _look(self, client: Any, options: Any) -> None:
        path = options.url.split("?")[0].rstrip("/")
        ending = next((ending for ending in self.OPERATIONS if path.endswith(ending)), None)
        if ending is None or options.method.lower() != "post":
            return
        body = options.json_data if isinstance(options.json_data, dict) else {}
        self.events = body.get("stream") is True
        url = str(getattr(client, "base_url", None) or client._base_url)
        provider = provider_of(urlsplit(url).hostname, self.PROVIDERS)
        self.exchange = Exchange(
            self.OPERATIONS[ending], body.get("model"), provider, lambda: self.in_openai_shape(body)
        )
        self.prepare(url, path, body)

    def in_openai_shape(self, body: dict[str, Any]) -> Mapping[str, Any]:
        """Return the body in OpenAI's shape."""
        return body

    def prepare(self, url: str, path: str, body: dict[str, Any]) -> None:
        """Change what is sent, if need be."""

    def insists(self, exc: BaseException) -> bool:  # noqa: ARG002 - for a subclass
        """Whether the server refused what ragmeter had added; the original is sent then."""
        return False

    def answered(self, result: Any) -> None:
        """Learn from what the SDK returns: a model object, a stream, or a raw response."""
        if self.exchange is None:
            return
        with guard("reading an answer"):
            response = getattr(result, "http_response", None)
            if response is None and self.events:
                response = getattr(result, "response", None)
            if response is None:
                read(self.exchange, result)
            else:
                tap(response, self.exchange, events=self.events, swallow_usage=self.swallow_usage)
            return
        self.exchange.lost()

    def failed(self, exc: BaseException) -> bool:
        """Learn from an error. True if it is ragmeter's own wish that the server refused: send the original then."""
        with guard("looking at an error"):
            if self.exchange is not None:
                self.exchange.failed(exc)
                return self.insists(exc)
        return False


def plan(sent: type[Sent], *clients: type) -> Patches:
    """Plan to observe the clients of an SDK, classes with `request` and, for its retries, `_sleep_for_retry`."""
    patches = Patches()
    for client in clients:
        patches.plan(client, "request", _request(sent, required(client, "request")))
        retry = next((name for name in ("_sleep_for_retry", "_retry_request") if hasattr(client, name)), None)
        if retry is not None:
            patches.plan(client, retry, _before_retry(getattr(client, retry)))
        else:
            logger.warning(
                "ragmeter: this release of %s retries where it cannot be seen; attempts that were billed and whose "
                "answer was lost are not recorded. Set max_retries=0 and retry yourself to have them counted.",
                client.__module__.split(".", maxsplit=1)[0],
            )
    return patches


def _request(kind: type[Sent], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        sent = kind(self, options)
        if sent.exchange is not None:
            sent.exchange.admit()
        token = under_way.set(sent.exchange)
        try:
            result = original(self, cast_to, sent.options, *args, **kwargs)
        except BaseException as exc:
            if not sent.failed(exc):
                raise
        else:
            sent.answered(result)
            return result
        finally:
            under_way.reset(token)
        return request(self, cast_to, options, *args, **kwargs)  # the server refused what ragmeter had added

    @functools.wraps(original)
    async def arequest(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        sent = kind(self, options)
        if sent.exchange is not None:
            await sent.exchange.aadmit()
        token = under_way.set(sent.exchange)
        try:
            result = await original(self, cast_to, sent.options, *args, **kwargs)
        except BaseException as exc:
            if not sent.failed(exc):
                raise
        else:
            sent.answered(result)
            return result
        finally:
            under_way.reset(token)
        return await arequest(self, cast_to, options, *args, **kwargs)  # the server refused what ragmeter had added

    return arequest if inspect.iscoroutinefunction(original) else request


def _before_retry(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what the SDK does before a retry: it runs while the error of the attempt before is being handled."""

    @functools.wraps(original)
    def before_retry(self: Any, *args: Any, **kwargs: Any) -> Any:
        with guard("looking at a retry"):
            exchange, exc = under_way.get(), sys.exc_info()[1]
            if exchange is not None and exc is not None:
                exchange.failed(exc)
        return original(self, *args, **kwargs)

    return before_retry


def provider_of(host: str | None, providers: Mapping[str, str]) -> str | None:
    """Return who answers at a host, None if that is not known."""
    found = (name for ending, name in providers.items() if host and (host == ending or host.endswith(f".{ending}")))
    return next(found, None)
