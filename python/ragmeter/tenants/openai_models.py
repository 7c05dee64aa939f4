"""Models of everybody who speaks OpenAI's protocol, with the interfaces of RAGFlow's model classes."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, extract_usage
from ragmeter.tenants import keys
from ragmeter.tenants.call import counts_of
from ragmeter.tenants.careful import careful_client, reaching_client
from ragmeter.witness import open_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from ragmeter.tenants.careful import Care
    from ragmeter.tenants.models import TenantLLM
    from ragmeter.tenants.reach import Reach

__all__ = ["OpenAIModel", "chat_messages", "image_message", "tell"]

_BATCH = 16
_AZURE_VERSION = "2024-10-21"


class OpenAIModel:
    """A model behind an API like OpenAI's; Azure's too, and Jina's and Cohere's for ranks.

    Methods return what RAGFlow's return: a text, vectors or scores with the tokens that the provider said, 0 if it
    said nothing. Errors are those of the SDK.

    Args:
        llm: Which model, with its key.
        url: URL of the API.
        care: Limits for answers, for a server that is not known yet; None for those of the SDK.
        reach: What may be called, where there is no `care`; None for anything.
    """

    def __init__(self, llm: TenantLLM, url: str, care: Care | None = None, reach: Reach | None = None) -> None:
        self._llm, self._url, self._care, self._reach = llm, url, care, reach
        self._open: Any = None
        self._open_async: tuple[Any, Any] | None = None
        key = llm.api_key.reveal() if llm.api_key is not None else keys.NO_KEY
        self._key = keys.parse(llm.llm_factory, llm.model_type, key)
        self._name = self._key.get("endpoint_id") or llm.model
        self._extra: dict[str, Any] = {}
        if llm.llm_factory == "OpenRouter" and self._key.get("provider_order"):
            order = [name.strip() for name in self._key["provider_order"].split(",")]
            self._extra = {"extra_body": {"provider": {"order": order}}}

    def __repr__(self) -> str:
        return f"OpenAIModel({self._llm!r})"

    def _client(self, *, asynchronous: bool) -> Any:
        import openai

        named = ("api_key", "ark_api_key", "spark_api_password")
        key = next((self._key[name] for name in named if self._key.get(name)), keys.NO_KEY)
        options: dict[str, Any] = {"api_key": key}
        if self._care is not None:
            http = careful_client(self._care, asynchronous=asynchronous)
            options |= {"max_retries": 0, "timeout": self._care.seconds, "http_client": http}
        elif self._reach is not None:
            options["http_client"] = reaching_client(self._reach, asynchronous=asynchronous)
        if self._llm.llm_factory == "Azure-OpenAI":
            options |= {"azure_endpoint": self._url, "api_version": self._key.get("api_version") or _AZURE_VERSION}
            make: Any = openai.AsyncAzureOpenAI if asynchronous else openai.AzureOpenAI
        else:
            options["base_url"] = self._url
            make = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return make(**options)

    @property
    def _sync(self) -> Any:
        if self._open is None:
            self._open = self._client(asynchronous=False)
        return self._open

    @property
    def _async(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._open_async is None or self._open_async[0] is not loop:  # connections belong to their loop
            self._open_async = (loop, self._client(asynchronous=True))
        return self._open_async[1]

    def close(self) -> None:
        """Close the connections of calls that were not awaited."""
        if self._open is not None:
            self._open.close()
            self._open = None

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those that `close` closes."""
        if self._open_async is not None and self._open_async[0] is asyncio.get_running_loop():
            await self._open_async[1].close()
            self._open_async = None
        self.close()

    async def async_chat(
        self, system: str | None, history: Sequence[Mapping[str, Any]], gen_conf: Mapping[str, Any] | None = None
    ) -> tuple[str, int]:
        """Return the answer and the tokens used."""
        answer = await self._async.chat.completions.create(
            model=self._name, messages=chat_messages(system, history), **(gen_conf or {}), **self._extra
        )
        return _content(answer), tell(answer)

    async def async_chat_streamly(
        self, system: str | None, history: Sequence[Mapping[str, Any]], gen_conf: Mapping[str, Any] | None = None
    ) -> AsyncIterator[str | int]:
        """Yield pieces of the answer, and the tokens used at the end."""
        stream = await self._async.chat.completions.create(
            model=self._name,
            messages=chat_messages(system, history),
            stream=True,
            stream_options={"include_usage": True},
            **(gen_conf or {}),
            **self._extra,
        )
        last: Any = None
        async with stream:
            async for chunk in stream:
                last = chunk if getattr(chunk, "usage", None) is not None else last
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        yield tell(last)

    def encode(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return a vector for each text and the tokens used."""
        vectors, used = [], 0
        for at in range(0, len(texts), _BATCH):
            batch = list(texts[at : at + _BATCH])
            answer = self._sync.embeddings.create(model=self._name, input=batch, encoding_format="float")
            used += tell(answer)
            vectors += [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        return vectors, used

    def encode_queries(self, text: str) -> tuple[list[float], int]:
        """Return the vector of a question and the tokens used."""
        vectors, used = self.encode([text])
        return vectors[0], used

    def similarity(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """Return how near each text is to a question, and the tokens used."""
        body = {"model": self._name, "query": query, "documents": list(texts), "top_n": len(texts)}
        # What an SDK of a library of its own does not know is asked for by its path.
        answer = self._sync.post("/rerank", body=body, cast_to=object)
        used = tell(answer)
        scores = [0.0] * len(texts)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            msg = "the answer has no results"
            raise TypeError(msg)
        for result in results:
            scores[result["index"]] = float(result["relevance_score"])
        return scores, used

    def describe(self, image: bytes) -> tuple[str, int]:
        """Return what an image shows, and the tokens used."""
        return self.describe_with_prompt(image)

    def describe_with_prompt(self, image: bytes, prompt: str | None = None) -> tuple[str, int]:
        """Return the answer to a question about an image, and the tokens used."""
        answer = self._sync.chat.completions.create(
            model=self._name, messages=[image_message(image, prompt)], **self._extra
        )
        return _content(answer), tell(answer)

    def transcription(self, audio: str | Path | bytes) -> tuple[str, int]:
        """Return what is said, and the tokens used."""
        file = ("audio.wav", audio) if isinstance(audio, bytes) else Path(audio)
        answer = self._sync.audio.transcriptions.create(model=self._name, file=file)
        return answer.text, tell(answer)

    def tts(self, text: str, voice: str = "alloy") -> Iterator[bytes | int]:
        """Yield the audio in pieces, and the tokens used at the end."""
        speech = self._sync.audio.speech
        with speech.with_streaming_response.create(model=self._name, voice=voice, input=text) as response:
            yield from response.iter_bytes()
        yield 0


def tell(answer: Any, *, certain: bool = True) -> int:
    """Let the call that runs here know what the provider said; returns the tokens of it.

    Args:
        answer: What the SDK returned, or the chunk of a stream with its usage.
        certain: False if somebody between the provider and us may have counted it; it is an estimate then.
    """
    usage = extract_usage(answer) if answer is not None else None
    seconds = _seconds(answer)
    if usage is None and seconds is not None:
        usage = Usage(audio_milliseconds=round(seconds * 1000))
    if usage is None:
        return 0
    if not certain:
        usage = Usage(origin="estimated", model=usage.model, response_id=usage.response_id, **counts_of(usage))
    call = open_call()
    if call is not None:
        call.tell(usage)
    return usage.total_tokens or 0


def chat_messages(system: str | None, history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a chat, the system's first, once."""
    messages = [dict(message) for message in history]
    if system and not (messages and messages[0].get("role") == "system"):
        messages.insert(0, {"role": "system", "content": system})
    return messages


def image_message(image: bytes, prompt: str | None) -> dict[str, Any]:
    """Return a message with an image and a question about it."""
    kind = "png" if image.startswith(b"\x89PNG") else "webp" if image[8:12] == b"WEBP" else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    text = prompt or "Describe what this image shows, with every text and number in it."
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return {"role": "user", "content": content}


def _content(answer: Any) -> str:
    return (answer.choices[0].message.content or "") if answer.choices else ""


def _seconds(answer: Any) -> float | None:
    """Return how long the audio was, where the provider bills or tells it."""
    usage = getattr(answer, "usage", None)
    seconds = getattr(usage, "seconds", None)
    if seconds is None:
        seconds = getattr(answer, "duration", None)
    try:
        return float(seconds) if seconds is not None else None
    except (TypeError, ValueError):
        return None
