"""Models of everybody else, through litellm (`pip install ragmeter[litellm]`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter.tenants import keys
from ragmeter.tenants.openai_models import chat_messages, image_message, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from ragmeter.tenants.careful import Care
    from ragmeter.tenants.models import TenantLLM

__all__ = ["PREFIXES", "LiteLLMModel"]

PREFIXES = {
    "Anthropic": "anthropic",
    "Bedrock": "bedrock",
    "Cohere": "cohere",
    "Google Cloud": "vertex_ai",
    "HuggingFace": "huggingface",
    "NVIDIA": "nvidia_nim",
    "Replicate": "replicate",
    "Voyage AI": "voyage",
    "WatsonX": "watsonx",
}
"""Factory: what litellm calls it."""

_NAMES = {
    "bedrock_ak": "aws_access_key_id",
    "bedrock_sk": "aws_secret_access_key",
    "bedrock_region": "aws_region_name",
    "aws_role_arn": "aws_role_name",
    "google_project_id": "vertex_project",
    "google_region": "vertex_location",
    "google_service_account_key": "vertex_credentials",
    "api_version": "api_version",
    "api_key": "api_key",
}
"""Field of a key: what litellm calls it."""


class LiteLLMModel:
    """A model that litellm knows, with the interfaces of `OpenAIModel`."""

    def __init__(self, llm: TenantLLM, url: str | None, care: Care | None = None) -> None:
        self._llm = llm
        key = llm.api_key.reveal() if llm.api_key is not None else keys.NO_KEY
        fields = keys.parse(llm.llm_factory, llm.model_type, key)
        self._options: dict[str, Any] = {"model": f"{PREFIXES[llm.llm_factory]}/{llm.model}"}
        self._options |= {_NAMES[name]: value for name, value in fields.items() if name in _NAMES and value}
        if url:
            self._options["api_base"] = url
        if care is not None:
            self._options |= {"timeout": care.seconds, "num_retries": 0}

    def __repr__(self) -> str:
        return f"LiteLLMModel({self._llm!r})"

    async def async_chat(
        self, system: str | None, history: Sequence[Mapping[str, Any]], gen_conf: Mapping[str, Any] | None = None
    ) -> tuple[str, int]:
        """Return the answer and the tokens used."""
        import litellm

        answer = await litellm.acompletion(messages=chat_messages(system, history), **(gen_conf or {}), **self._options)
        return answer.choices[0].message.content or "", tell(answer)

    async def async_chat_streamly(
        self, system: str | None, history: Sequence[Mapping[str, Any]], gen_conf: Mapping[str, Any] | None = None
    ) -> AsyncIterator[str | int]:
        """Yield pieces of the answer, and the tokens used at the end."""
        import litellm

        stream = await litellm.acompletion(
            messages=chat_messages(system, history),
            stream=True,
            stream_options={"include_usage": True},
            **(gen_conf or {}),
            **self._options,
        )
        last: Any = None
        async for chunk in stream:
            last = chunk if getattr(chunk, "usage", None) is not None else last
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
        # Where the provider's stream says nothing litellm counts itself, and does not tell which it was.
        yield tell(last, certain=False)

    def encode(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return a vector for each text and the tokens used."""
        import litellm

        answer = litellm.embedding(input=list(texts), **self._options)
        return [item["embedding"] for item in answer.data], tell(answer)

    def encode_queries(self, text: str) -> tuple[list[float], int]:
        """Return the vector of a question and the tokens used."""
        vectors, used = self.encode([text])
        return vectors[0], used

    def similarity(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """Return how near each text is to a question, and the tokens used."""
        import litellm

        answer = litellm.rerank(query=query, documents=list(texts), top_n=len(texts), **self._options)
        scores = [0.0] * len(texts)
        for result in answer.results:
            scores[result["index"]] = float(result["relevance_score"])
        return scores, tell(answer)

    def describe(self, image: bytes) -> tuple[str, int]:
        """Return what an image shows, and the tokens used."""
        return self.describe_with_prompt(image)

    def describe_with_prompt(self, image: bytes, prompt: str | None = None) -> tuple[str, int]:
        """Return the answer to a question about an image, and the tokens used."""
        import litellm

        answer = litellm.completion(messages=[image_message(image, prompt)], **self._options)
        return answer.choices[0].message.content or "", tell(answer)

    def transcription(self, audio: str | Path | bytes) -> tuple[str, int]:
        """Return what is said, and the tokens used."""
        import litellm

        content = audio if isinstance(audio, bytes) else Path(audio).read_bytes()
        answer = litellm.transcription(file=("audio.wav", content), **self._options)
        return answer.text, tell(answer)

    def tts(self, text: str, voice: str = "alloy") -> Iterator[bytes | int]:
        """Yield the audio in pieces, and the tokens used at the end."""
        import litellm

        yield litellm.speech(input=text, voice=voice, **self._options).content
        yield 0
