"""The stub's own rule of what a token is, and its prompt cache. Nothing here knows ragmeter's counters.

A `Tokenizer` is such a rule: it cuts a text into the tokens of a model.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Tokenizer: TypeAlias = Callable[[str, str], list[str]]

PIECE = re.compile(r"\s*(?:[a-zA-Z]{1,6}|[^\W\d_]{1,6}|\d{1,3}|[^\w\s]|_)")
"""A token: up to six letters, three digits, or one other sign, with the space before it."""


def pieces(text: str, model: str = "") -> list[str]:  # noqa: ARG001 - the same for every model
    """Cut a text into its tokens; put together again they are the text, but for space at its end."""
    return PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(PIECE.findall(text))


class PromptCache:
    """Remembers the beginnings of prompts, as providers do: whole blocks of them, per model, once they are long."""

    def __init__(self, minimum: int = 1024, step: int = 128, keep: int = 20_000) -> None:
        self._minimum = minimum
        self._step = step
        self._keep = keep
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def hit(self, model: str, prompt: list[str]) -> int:
        """How many tokens at the beginning of this prompt were seen before; the prompt is remembered."""
        digest = blake2b(model.encode(), digest_size=16)
        cached = 0
        for end in range(self._step, len(prompt) + 1, self._step):
            digest.update("".join(prompt[end - self._step : end]).encode("utf-8", "surrogatepass"))
            key = digest.digest()
            if end >= self._minimum and key in self._seen:
                cached = end
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > self._keep:
            self._seen.popitem(last=False)
        return cached

    def clear(self) -> None:
        """Forget every prompt."""
        self._seen.clear()
