"""Observer of the `anthropic` SDK: messages, plain, streamed, raw, sync and async; also through Bedrock and Vertex AI.

Releases 0.40 to 2.12. The usage of a stream stands in its first and its last event; one that ends early is estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.observe.stainless import Sent
from ragmeter.observe.stainless import plan as plan_clients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragmeter.observe.patch import Patches

__all__ = ["plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    import anthropic

    clients = (anthropic.Anthropic, anthropic.AsyncAnthropic)
    # Where the clients of all platforms inherit `request` from; it has no public name.
    return plan_clients(
        _Sent, *(next((kind for kind in client.__mro__ if "request" in vars(kind)), client) for client in clients)
    )


class _Sent(Sent):
    OPERATIONS = {"/v1/messages": "chat"}  # noqa: RUF012 - read only
    PROVIDERS = {  # noqa: RUF012
        "api.anthropic.com": "anthropic",
        "amazonaws.com": "aws.bedrock",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "services.ai.azure.com": "azure.ai.inference",
    }

    def in_openai_shape(self, body: dict[str, Any]) -> Mapping[str, Any]:
        system = body.get("system")
        messages = [*([{"role": "system", "content": system}] if system else []), *body.get("messages", ())]
        tools = [
            {"type": "function", "function": {**tool, "parameters": tool.get("input_schema")}}
            for tool in body.get("tools") or ()
        ]
        return {"model": body.get("model"), "messages": messages, "tools": tools}
