"""Trials: a call or two of each SDK that has an observer, against ragmeter's stub server. For `ragmeter doctor`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TRIALS"]

_TEXT = "How do you do?"
_MESSAGES: Any = [{"role": "user", "content": _TEXT}]
_AMAZON: Any = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
_CONVERSE: Any = {
    "modelId": "anthropic.claude-haiku-4-5-v1:0",
    "messages": [{"role": "user", "content": [{"text": _TEXT}]}],
}


def _openai(url: str) -> None:
    import openai

    with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=_MESSAGES)
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=_MESSAGES, stream=True):
            pass
        client.embeddings.create(model="text-embedding-3-small", input=[_TEXT])


def _anthropic(url: str) -> None:
    import anthropic

    with anthropic.Anthropic(base_url=url, api_key="any") as client:
        client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=_MESSAGES)


def _ollama(url: str) -> None:
    import ollama

    client = ollama.Client(host=url)
    client.chat(model="llama3", messages=_MESSAGES)
    client.embed(model="bge-m3", input=_TEXT)


def _google_genai(url: str) -> None:
    from google import genai

    client = genai.Client(api_key="any", http_options=genai.types.HttpOptions(base_url=url))
    client.models.generate_content(model="gemini-2.5-flash", contents=_TEXT)


def _botocore(url: str) -> None:
    import botocore.session

    client = botocore.session.get_session().create_client("bedrock-runtime", endpoint_url=url, **_AMAZON)
    client.converse(**_CONVERSE)


def _aiobotocore(url: str) -> None:
    import aiobotocore.session

    async def converse() -> None:
        session = aiobotocore.session.get_session()
        async with session.create_client("bedrock-runtime", endpoint_url=url, **_AMAZON) as client:
            await client.converse(**_CONVERSE)

    asyncio.run(converse())


def _voyageai(url: str) -> None:
    import voyageai

    voyageai.Client(api_key="any", base_url=f"{url}/voyage/v1").embed([_TEXT], model="voyage-3")


def _zhipuai(url: str) -> None:
    import zhipuai

    client = zhipuai.ZhipuAI(api_key="any.key", base_url=f"{url}/api/paas/v4")
    client.chat.completions.create(model="glm-4", messages=_MESSAGES)


def _zai(url: str) -> None:
    import zai

    client = zai.ZhipuAiClient(api_key="any.key", base_url=f"{url}/api/paas/v4")
    client.chat.completions.create(model="glm-4.6", messages=_MESSAGES)


def _dashscope(url: str) -> None:
    import dashscope

    dashscope.Generation.call(
        model="qwen-plus", api_key="any", base_address=f"{url}/api/v1", messages=_MESSAGES, result_format="message"
    )


def _aiohttp(url: str) -> None:
    import aiohttp

    async def post() -> None:
        body = {"model": "jina-embeddings-v4", "input": [_TEXT]}
        async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/embeddings", json=body) as response:
            json.loads(await response.read())

    asyncio.run(post())


TRIALS: dict[str, Callable[[str], None]] = {
    "aiobotocore": _aiobotocore,
    "aiohttp": _aiohttp,
    "anthropic": _anthropic,
    "botocore": _botocore,
    "dashscope": _dashscope,
    "google.genai": _google_genai,
    "ollama": _ollama,
    "openai": _openai,
    "voyageai": _voyageai,
    "zai": _zai,
    "zhipuai": _zhipuai,
}
"""By the name of the observer: makes calls to the stub server at a URL."""
