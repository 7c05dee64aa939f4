"""Estimates for calls whose provider said nothing: the input from the request, the output from what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, count_tokens
from ragmeter.tokens.messages import count_message_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["estimate", "estimate_chat", "estimate_texts", "flat", "unfinished"]


def estimate(operation: str | None, request: Mapping[str, Any], delivered: str | None) -> Usage:
    """Estimate the usage of a request in OpenAI's shape.

    Args:
        operation: `embeddings` and `rerank` have no output.
        request: The body of the request.
        delivered: Text that reached the caller; None if it is not known, and the output stays unknown.

    Returns:
        A Usage of origin `estimated`, or `unknown` where there is no text to count.
    """
    model = request.get("model")
    model = model if isinstance(model, str) else None
    if operation in {"embeddings", "rerank"}:
        return estimate_texts(flat(request.get("input")), model)
    if "messages" in request:
        sent: int | None = count_message_tokens(request["messages"], model or "", tools=request.get("tools")).tokens
    else:
        texts = [*flat(request.get("instructions")), *flat(request.get("input", request.get("prompt")))]
        sent = _count(texts, model) if texts else None
    return _usage(sent, delivered, model)


def estimate_chat(sent: Sequence[str | None], delivered: str | None, model: str | None) -> Usage:
    """Estimate a call of a language model from the text of each message and what it delivered.

    Args:
        sent: Text of each message; one without is left out. Each is framed by three tokens, and three more prime the
            answer.
        delivered: Text that reached the caller; None if it is not known, and the output stays unknown.
        model: Model that was asked.
    """
    texts = [text for text in sent if text]
    return _usage(_count(texts, model) + 3 * len(texts) + 3 if texts else None, delivered, model)


def unfinished(said: Usage, guess: Usage) -> Usage:
    """Return the usage of an answer that broke off: what the provider had said so far, but no less than was delivered.

    It says its input at once and its output as it goes; what it bills in the end nobody knows.
    """
    outputs = [count for count in (said.output_tokens, guess.output_tokens) if count is not None]
    parts = ("cache_read_tokens", "cache_write_tokens", "input_audio_tokens", "reasoning_tokens")
    return Usage(
        origin="estimated",
        model=said.model,
        response_id=said.response_id,
        input_tokens=said.input_tokens if said.input_tokens is not None else guess.input_tokens,
        output_tokens=max(outputs) if outputs else None,
        **{part: getattr(said, part) for part in parts if getattr(said, part) is not None},
    )


def _usage(sent: int | None, delivered: str | None, model: str | None) -> Usage:
    received = count_tokens(delivered, model) if delivered is not None else None
    if sent is None and received is None:
        return Usage(origin="unknown")
    return Usage(input_tokens=sent, output_tokens=received, origin="estimated")


def estimate_texts(texts: Sequence[str | int], model: str | None) -> Usage:
    """Estimate a call that reads texts and writes none: an embedding, a rerank."""
    if not texts:
        return Usage(origin="unknown")
    return Usage(input_tokens=_count(texts, model), output_tokens=0, origin="estimated")


def _count(texts: Sequence[Any], model: str | None) -> int:
    """Count texts; an item that is a token id already counts one."""
    return sum(count_tokens(text, model) if isinstance(text, str) else isinstance(text, int) for text in texts)


def flat(value: Any) -> list[str | int]:
    """Collect the texts of `input`, `prompt` or a list of response items, and token ids as they are."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in flat(item)]
    if isinstance(value, dict):
        return [text for key in ("content", "text", "arguments", "output") for text in flat(value.get(key))]
    return []
