"""Secret: a text that does not show itself, and texts with secrets taken out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Secret", "plain_url", "scrub", "scrub_url"]

_SHORTEST = 4
"""A secret below this length is no secret: the keys of local servers are `x`."""

_SHOWN = 4
_LONG_ENOUGH_TO_SHOW = 16

_URL_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_URL_SECRET = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:key|token|secret|password|passwd|pwd|signature|sig|auth|credential)[\w.-]*)=)[^&#\s\"'<>]+"
)
_HEADER = re.compile(r"(?i)\b(bearer|basic|token)\s+[a-z0-9._~+/=-]{8,}")
_LOOKS_LIKE_KEY = re.compile(r"\b(?:sk|pk|rk|xai|gsk|jina|hf|rmk)[-_][A-Za-z0-9_*-]{8,}")


class Secret:
    """A text that shows itself masked wherever it goes; `reveal()` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    @property
    def masked(self) -> str:
        """Stars, with the last characters of a long one."""
        if not self._text:
            return ""
        is_json = self._text.lstrip().startswith(("{", "["))
        shown = "" if is_json or len(self._text) < _LONG_ENOUGH_TO_SHOW else self._text[-_SHOWN:]
        return f"****{shown}"

    def __repr__(self) -> str:
        return f"Secret('{self.masked}')"

    def __str__(self) -> str:
        return self.masked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not pickled"
        raise TypeError(msg)


def scrub_url(url: str) -> str:
    """Return a URL without login and without values of parameters that may be secret."""
    return _URL_SECRET.sub(r"\1****", _URL_LOGIN.sub("****", url))


def plain_url(url: str | None) -> str | None:
    """Return a URL that holds no secret, for it is stored and logged as it is; None for none.

    Raises:
        ValueError: It has a login, or a parameter that may be one.
    """
    if url and scrub_url(url) != url:
        msg = "the URL holds a login or a key; those go into api_key, which is encrypted"
        raise ValueError(msg)
    return url or None


def scrub(text: str, secrets: Iterable[Secret | str | None] = ()) -> str:
    """Return `text` without these secrets, each part of a JSON key by itself, and without what looks like one."""
    found = {part for secret in secrets if secret is not None for part in _parts(secret)}
    for part in sorted(found, key=len, reverse=True):
        for spelling in (part, json.dumps(part)[1:-1], repr(part)[1:-1]):
            text = text.replace(spelling, "****")
    text = scrub_url(text)
    return _LOOKS_LIKE_KEY.sub("****", _HEADER.sub(r"\1 ****", text))


def _parts(secret: Secret | str) -> Iterator[str]:
    text = secret.reveal() if isinstance(secret, Secret) else secret
    for part in (text, text.strip()):
        if len(part) >= _SHORTEST:
            yield part
    try:
        content = json.loads(text)
    except ValueError:
        return
    for value in _leaves(content):
        if len(value) >= 2 * _SHORTEST:
            yield value


def _leaves(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
