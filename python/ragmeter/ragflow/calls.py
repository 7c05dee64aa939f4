"""Calls: one call of a method of RAGFlow's `LLMBundle`, and what it cost by its best witness.

Whoever sees the requests themselves, the observers of the SDKs, is believed first and sees every attempt. Else the
answers that RAGFlow hands to its token functions are, each once; then what the model object noted for this very call;
then an estimate from the texts.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, Usage, current_scope, extract_usage
from ragmeter.meter import guard
from ragmeter.observe.estimate import estimate
from ragmeter.ragflow import names
from ragmeter.witness import OpenCall, open_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

__all__ = ["OPERATIONS", "BundleCall", "bundle_call", "total_token_count_from_response", "usage_from_response"]

OPERATIONS = {
    "async_chat": "chat",
    "async_chat_streamly": "chat",
    "async_chat_streamly_delta": "chat",
    "encode": "embeddings",
    "encode_queries": "embeddings",
    "similarity": "rerank",
    "describe": "image2text",
    "describe_with_prompt": "image2text",
    "transcription": "speech2text",
    "stream_transcription": "speech2text",
    "tts": "tts",
}
"""Method of `LLMBundle`: what it does."""

_SEEING = ("image2text", "vision")
"""Types of models that see, in RAGFlow's words of then and now; a chat with one of them is about images."""


def usage_from_response(resp: Any) -> dict[str, int]:
    """Do what `names.usage_from_response` does, and let the call that is running here look at the answer."""
    _look(resp)
    return names.usage_from_response(resp)


def total_token_count_from_response(resp: Any) -> Any:
    """Do the same for `names.total_token_count_from_response`."""
    _look(resp)
    return names.total_token_count_from_response(resp)


def bundle_call() -> BundleCall | None:
    """Return the call of a bundle that is running here, if there is one."""
    call = open_call()
    return call if isinstance(call, BundleCall) else None


def _look(resp: Any) -> None:
    call = bundle_call()
    if call is not None and not call.observed:
        with guard("looking at an answer of RAGFlow"):
            call.look(resp)


class BundleCall(OpenCall):
    """A call of a bundle's method that has begun and not ended.

    Attributes:
        last_usage: What model objects noted as their last usage during this call, by their id.
        reported: The total that RAGFlow reported for the call; None as long as it has not.
        generations: Its observations in Langfuse, if there are any.
    """

    __slots__ = (
        "_answers", "_args", "_chats", "_guess", "_kwargs", "_last", "_lock", "generations", "last_usage", "reported",
    )  # fmt: skip

    last_usage: dict[int, Any]
    reported: int | None
    generations: Any
    _args: tuple[Any, ...]
    _chats: bool
    _kwargs: Mapping[str, Any]
    _guess: Usage | None
    _answers: dict[Any, Usage]
    _last: Any
    _lock: threading.Lock

    def __new__(cls, bundle: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], **owner: Any) -> Self:
        """Open a call of a bundle's `method`; `owner` has the labels of who runs it."""
        config = _config(bundle)
        around = current_scope()
        known = around.labels if around is not None else {}
        tenant = getattr(bundle, "tenant_id", None)
        labels = {"tenant": tenant, **owner}
        provider = config.get("llm_factory")
        chats = OPERATIONS[method] == "chat"
        call = super().__new__(
            cls,
            Scope(None, around, **{name: label for name, label in labels.items() if label and name not in known}),
            operation="image2text" if chats and config.get("model_type") in _SEEING else OPERATIONS[method],
            model=config.get("llm_name"),
            provider=provider.lower() if isinstance(provider, str) else None,
        )
        call._chats = chats
        call.last_usage = {}
        call.reported = call.generations = call._guess = call._last = None
        call._args, call._kwargs = args, kwargs
        call._answers = {}
        call._lock = threading.Lock()
        return call

    def purpose(self, operation: str) -> str:
        """Return what the bundle does; models that see or hear are asked by chats."""
        purpose: str = self.labels["operation"]
        return purpose if operation == "chat" else operation

    def look(self, resp: Any) -> None:
        """Take the usage of an answer, or of a chunk: the newest of a stream replaces those before it."""
        if resp is None or resp is self._last:
            return
        usage = extract_usage(resp)
        if usage is None or not (usage.input_tokens or usage.output_tokens):
            return
        key = usage.response_id or _stream_id(resp) or ("answer", len(self._answers))
        with self._lock:
            self._last = resp
            self._answers[key] = usage

    def total(self) -> Usage | None:
        """Return what the call cost as far as a provider has said, all attempts and rounds together."""
        said = self.heard or list(self._answers.values())
        return sum(said[1:], said[0]) if said else None

    def noted(self) -> Usage | None:
        """Return what the model object noted for this call as reported by the provider."""
        for split in self.last_usage.values():
            prompt, completion, total = (_count(split, name) for name in ("prompt", "completion", "total"))
            if prompt or completion:
                # What the total has more (thoughts, tool use) came out of the model.
                return Usage(input_tokens=prompt, output_tokens=max(completion, total - prompt))
        return None

    def details(self, total: Any) -> dict[str, int]:
        """Take RAGFlow's own total, and return the counts of the call for Langfuse."""
        self.reported = total if isinstance(total, int) else None
        usage = self.total() or self.noted() or self._guess
        if usage is None:
            return {"input": 0, "output": 0, "total": self.reported or 0}
        details: dict[str, int] = {"input": 0, "output": 0, **usage.langfuse_details()}
        return details

    def end(self, delivered: str | None, used: Any = None, *, lost: bool = False) -> None:
        """Record the call, unless an observer did.

        Args:
            delivered: Text that reached the caller, None if it is not known.
            used: Tokens that the model object said it used.
            lost: Whether the caller went away before the end.
        """
        noted = self.noted()
        said = list(self._answers.values()) or ([noted] if noted is not None else [])
        if not (said or self.observed) and (delivered is not None or lost):
            self._guess = self._estimate(delivered, used)
            said = [self._guess] if self._guess is not None else []
        for usage in said:
            self.tell(usage)
        self.close(None)

    def _estimate(self, delivered: str | None, used: Any) -> Usage | None:
        operation = self.labels["operation"]
        if self._chats:
            if delivered is not None and delivered.startswith("**ERROR**"):
                return None  # RAGFlow's text for a request that failed
            system, history = (*self._args, None, None)[:2]
            system, history = self._kwargs.get("system", system), self._kwargs.get("history", history)
            messages = [message for message in history or [] if isinstance(message, dict)]
            if system and not (messages and messages[0].get("role") == "system"):
                messages.insert(0, {"role": "system", "content": system})
            return estimate("chat", {"messages": messages, "model": self.labels["model"]}, delivered or "")
        used = used if isinstance(used, int) and used > 0 else None
        if operation in {"embeddings", "rerank", "tts"}:
            texts = [text for text in _flat([self._args, self._kwargs]) if isinstance(text, str)]
            sent = used if used is not None else sum(map(names.num_tokens_from_string, texts))
            return Usage(input_tokens=sent, output_tokens=0, origin="estimated")
        received = names.num_tokens_from_string(delivered) if delivered is not None else None
        sent = max(used - received, 0) if used is not None and received is not None else None
        if sent is None and received is None:
            return Usage(origin="unknown")
        return Usage(input_tokens=sent, output_tokens=received, origin="estimated")


def _config(bundle: Any) -> Mapping[str, Any]:
    """Return what a bundle knows of its model."""
    config: Mapping[str, Any] | None = getattr(bundle, "model_config", None)
    if config is None:  # before v0.25: `name@factory`, or the name alone
        model, _, factory = (getattr(bundle, "llm_name", None) or "").rpartition("@")
        named = {"llm_name": model, "llm_factory": factory} if model else {"llm_name": factory or None}
        config = {**named, "model_type": getattr(bundle, "llm_type", None)}
    return config


def _stream_id(resp: Any) -> Any:
    """What the chunks of one stream have in common where no id says which stream it is."""
    choices = _part(resp, "choices")
    first = choices[0] if isinstance(choices, (list, tuple)) and choices else None
    return "stream" if _part(first, "delta") is not None else None


def _part(answer: Any, name: str) -> Any:
    with contextlib.suppress(Exception):  # an SDK's objects may raise whatever they like
        return answer.get(name) if isinstance(answer, dict) else getattr(answer, name, None)
    return None


def _count(split: Any, name: str) -> int:
    value = split.get(f"{name}_tokens") if isinstance(split, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [inner for item in value for inner in _flat(item)]
    return [value]
