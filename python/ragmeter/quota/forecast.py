"""Forecast: what a call will cost at most, before it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.bounded import Bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Forecast"]

_MOST_OUTPUT = ("max_completion_tokens", "max_output_tokens", "max_tokens", "num_predict")
"""How requests say how long the answer may be."""
_WITHOUT_OUTPUT = ("embeddings", "rerank", "tts")
_MOST_MODELS = 10_000
_DECAY = 0.98
"""What the longest answer of a model counts for with each shorter one that follows."""


class Forecast:
    """Tokens of calls that have not been made: those of the request, and `max_tokens` or what the model used to answer.

    Args:
        output_tokens: Length of an answer where the request names no limit and the model has answered nothing yet.
    """

    def __init__(self, output_tokens: int = 1024) -> None:
        self._first = output_tokens
        self._outputs: dict[tuple[str | None, str | None], float] = Bounded(_MOST_MODELS)
        self._inputs: dict[tuple[str | None, str | None], float] = Bounded(_MOST_MODELS)

    def of(
        self, operation: str | None, model: str | None, request: Mapping[str, Any] | None
    ) -> tuple[int | None, int | None]:
        """Return input and output tokens that the call will have at most; None where there is nothing to go by."""
        key = (operation, model)
        sent: int | None = None
        if request is not None:
            from ragmeter.observe.estimate import estimate

            sent = estimate(operation, request, None).input_tokens
        if sent is None and key in self._inputs:
            sent = int(self._inputs[key])
        if operation in _WITHOUT_OUTPUT:
            return sent, 0
        limits = [(request or {}).get(name) for name in _MOST_OUTPUT]
        most = next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
        if most is None:
            return sent, int(self._outputs.get(key, self._first))
        choices = (request or {}).get("n")
        return sent, most * choices if isinstance(choices, int) and choices > 0 else most

    def learn(
        self, operation: str | None, model: str | None, input_tokens: int | None, output_tokens: int | None
    ) -> None:
        """Learn what a call had."""
        key = (operation, model)
        for known, count in ((self._inputs, input_tokens), (self._outputs, output_tokens)):
            if count is not None:
                known[key] = max(count, known.get(key, 0) * _DECAY)
