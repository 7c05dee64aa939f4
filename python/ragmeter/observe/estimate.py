"""Estimates for calls whose provider said nothing: the input from the request, the output from what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, count_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["estimate", "estimate_texts"]


def estimate(operation: str | None, request: Mapping[str, Any], delivered: str | None) -> Usage:
    """Estimate the usage of a request in OpenAI's shape.

    Args:
        operation: `embeddings` has no output.
        request: The body of the request.
        delivered: Text that reached the caller; None if it is not known, and the output stays unknown.

    Returns:
        A Usage of origin `estimated`, or `unknown` where there is no text to count.
    """
    model = request.get("model")
    model = model if isinstance(model, str) else None
    if "messages" in request:
        messages = [message for message in request["messages"] if isinstance(message, dict)]
        # Each message is framed by three tokens, and three more prime the answer.
        sent: int | None = _count(_texts(messages), model) + 3 * len(messages) + 3
    else:
        texts = [*_texts(request.get("instructions")), *_texts(request.get("input", request.get("prompt")))]
        sent = _count(texts, model) if texts else None
    received = 0 if operation == "embeddings" else None
    if delivered is not None and received is None:
        received = count_tokens(delivered, model)
    return estimate_texts(sent, received)


def estimate_texts(sent: int | None, received: int | None) -> Usage:
    """Return counted texts as a Usage; `unknown` when neither is known."""
    if sent is None and received is None:
        return Usage(origin="unknown")
    return Usage(input_tokens=sent, output_tokens=received, origin="estimated")


def _count(texts: list[str | int], model: str | None) -> int:
    """Count texts; an item that is a token id already counts one."""
    return sum(1 if isinstance(text, int) else count_tokens(text, model) for text in texts)


def _texts(value: Any) -> list[str | int]:
    """Collect the texts of `input`, `prompt` or a list of response items, and token ids as they are."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        return [text for key in ("content", "text", "arguments", "output") for text in _texts(value.get(key))]
    return []
