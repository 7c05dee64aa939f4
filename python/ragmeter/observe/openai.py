"""Observer of the `openai` SDK: sync and async, OpenAI, Azure and every server that speaks the same protocol.

Releases 1.109 to 3.54. Streams carry no usage unless they are asked to: ragmeter asks, and takes it out again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ragmeter.meter import logger
from ragmeter.observe.stainless import Sent
from ragmeter.observe.stainless import plan as plan_clients

if TYPE_CHECKING:
    from ragmeter.observe.patch import Patches

__all__ = ["plan"]

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

_include_usage = True
_refuses_options: set[str] = set()
"""Base URLs of servers that have refused `stream_options`."""


def plan(*, include_usage: bool | None = None) -> Patches:
    """Plan to observe the SDK. `include_usage=None` means on, unless `RAGMETER_INCLUDE_USAGE` is `0`."""
    import openai

    global _include_usage  # noqa: PLW0603 - one SDK, one switch
    _include_usage = os.environ.get("RAGMETER_INCLUDE_USAGE", "1") != "0" if include_usage is None else include_usage
    _refuses_options.clear()
    return plan_clients(_Sent, openai.OpenAI, openai.AsyncOpenAI)


class _Sent(Sent):
    OPERATIONS = _OPERATIONS
    PROVIDERS = _PROVIDERS

    def prepare(self, url: str, path: str, body: dict[str, Any]) -> None:
        self._url = url
        chosen = body.get("stream_options")
        if (
            self.events
            and _include_usage
            and path.endswith(_STREAMS_WITH_OPTIONS)
            and url not in _refuses_options
            and (chosen is None or (isinstance(chosen, dict) and "include_usage" not in chosen))
        ):
            self.options = self.options.model_copy() if hasattr(self.options, "model_copy") else self.options.copy()
            self.options.json_data = {**body, "stream_options": {**(chosen or {}), "include_usage": True}}
            self.swallow_usage = True

    def insists(self, exc: BaseException) -> bool:
        status = getattr(exc, "status_code", None)
        if self.swallow_usage and status in {400, 404, 422} and "stream_options" in str(exc):
            _refuses_options.add(self._url)
            logger.warning("ragmeter: %s refuses stream_options; usage of its streams is estimated", self._url)
            return True
        return False
