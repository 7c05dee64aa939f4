"""The `encoder` that RAGFlow's prompts are cut with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ragmeter._native import get_encoding

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ragmeter._native import Encoding

__all__ = ["Encoder"]


class Encoder:
    """`cl100k_base` with the methods of tiktoken's `Encoding`. The vocabulary is unpacked at its first use.

    Args:
        specials_are_text: Whether a special token in a text is text, where tiktoken raises `ValueError`.
    """

    __slots__ = ("_encoding", "_not_special")

    def __init__(self, *, specials_are_text: bool) -> None:
        self._encoding: Encoding | None = None
        self._not_special: Literal["all"] | Collection[str] = () if specials_are_text else "all"

    @property
    def name(self) -> str:
        """Name of the encoding."""
        return "cl100k_base"

    def encode(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | Collection[str] = (),
        disallowed_special: Literal["all"] | Collection[str] | None = None,
    ) -> list[int]:
        """Return the tokens of a text."""
        refused = self._not_special if disallowed_special is None else disallowed_special
        return self._native().encode(text, allowed_special=allowed_special, disallowed_special=refused)

    def decode(self, tokens: Sequence[int], errors: str = "replace") -> str:
        """Return the text of tokens."""
        return self._native().decode(tokens, errors)

    def _native(self) -> Encoding:
        if self._encoding is None:
            self._encoding = get_encoding("cl100k_base")
        return self._encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native(), name)

    def __repr__(self) -> str:
        return "<Encoding 'cl100k_base'>"
