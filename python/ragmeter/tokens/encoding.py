"""Encodings: text to tokens and back, by the name of an encoding or of a model, or from files of others."""

from __future__ import annotations

from ragmeter._native import Encoding, get_encoding, resolve_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = [
    "HuggingFaceEncoding",
    "decode",
    "encode",
    "encode_batch",
    "encoding_for_model",
    "load_tiktoken",
    "load_tokenizer_json",
]


def encode(text: str, model: str | None = None, *, encoding: str | Encoding | None = None) -> list[int]:
    """Encode a text; special tokens in it are text."""
    return _chosen(model, encoding).encode_ordinary(text)


def encode_batch(
    texts: Sequence[str],
    model: str | None = None,
    *,
    encoding: str | Encoding | None = None,
    threads: int | None = None,
) -> list[list[int]]:
    """Encode many texts in parallel; special tokens in them are text."""
    return _chosen(model, encoding).encode_ordinary_batch(texts, num_threads=threads)


def decode(tokens: Sequence[int], model: str | None = None, *, encoding: str | Encoding | None = None) -> str:
    """Turn tokens into text; what is not UTF-8 becomes U+FFFD."""
    return _chosen(model, encoding).decode(tokens)


def encoding_for_model(model_name: str) -> Encoding:
    """Return the encoding that a model uses.

    Raises:
        KeyError: The model's tokenizer is not public, or not one of OpenAI's.
    """
    name, exact = resolve_model(model_name)
    if not exact:
        raise KeyError(f"the tokenizer of {model_name!r} is not public; name an encoding to estimate with")
    return get_encoding(name)


def load_tiktoken(
    path: str | os.PathLike[str],
    *,
    pattern_of: str | Encoding = "cl100k_base",
    special_tokens: dict[str, int] | None = None,
    name: str | None = None,
    sha256: str | None = None,
) -> Encoding:
    """Read a `.tiktoken` file.

    Args:
        path: A line for each token: base64 of its bytes, and its rank.
        pattern_of: The encoding of OpenAI that splits text in the same way.
        special_tokens: Texts that are one token, and their ids.
        name: Name of the encoding; by default that of the file.
        sha256: What the file's checksum must be.

    Raises:
        ValueError: The file is another one, or not a vocabulary of byte-pair encoding.
    """
    import base64
    import hashlib
    from pathlib import Path

    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"sha256 of {path} is {found}, not {sha256}")
    try:
        pairs = [line.split() for line in content.splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except ValueError as error:
        raise ValueError(f"{path} is not a .tiktoken file: {error}") from None
    return _own_encoding(name or Path(path).stem, _pattern(pattern_of), ranks, special_tokens or {})


def load_tokenizer_json(path: str | os.PathLike[str]) -> HuggingFaceEncoding:
    """Read a `tokenizer.json` of Hugging Face; needs `ragmeter[huggingface]`."""
    from pathlib import Path

    return HuggingFaceEncoding(Path(path).read_text(encoding="utf-8"), name=Path(path).parent.name or Path(path).name)


class HuggingFaceEncoding:
    """A tokenizer of Hugging Face (Qwen, DeepSeek, Llama, Mistral, …) with the methods that counting needs.

    The work is done by the package `tokenizers`, exactly and at its speed. No special token is added.
    """

    def __init__(self, json: str, *, name: str = "tokenizer.json") -> None:
        import tokenizers

        self.name = name
        self._json = json
        self._tokenizer = tokenizers.Tokenizer.from_str(json)
        # A file may ask for both, which would change counts.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        """Count the tokens of a text."""
        return len(self.encode(text))

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of many texts in parallel."""
        return [len(found.ids) for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode(self, text: str) -> list[int]:
        """Encode a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_hugging_face, (self._json, self.name))


def _hugging_face(json: str, name: str) -> HuggingFaceEncoding:
    return HuggingFaceEncoding(json, name=name)


def _own_encoding(name: str, pattern: str, ranks: dict[bytes, int], special_tokens: dict[str, int]) -> Encoding:
    return Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens)


def _pattern(encoding: str | Encoding) -> str:
    return (get_encoding(encoding) if isinstance(encoding, str) else encoding).pat_str


def _chosen(model: str | None, encoding: str | Encoding | None) -> Encoding:
    if isinstance(encoding, Encoding):
        return encoding
    return get_encoding(encoding or (resolve_model(model)[0] if model else "o200k_base"))
