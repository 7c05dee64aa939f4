"""Embeddings from a bag of hashed words: the same text gives the same vector, similar texts are near."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from struct import pack

from ragmeter.testing.names import COMMON, MARKER

WORD = re.compile(r"[^\W_]+")
SHARED = 0.4
"""The cosine of texts with nothing in common; above LightRAG's threshold of 0.2, so that every search finds some."""


@lru_cache(maxsize=50_000)
def place(word: str) -> tuple[int, float]:
    """A word's number and sign, the same in every process."""
    number = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return number >> 1, 1.0 if number & 1 else -1.0


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector of this many dimensions. Markers do not count, so that they cannot lead a search astray."""
    words = Counter(word for word in WORD.findall(MARKER.sub("", text).lower()) if word not in COMMON)
    if dimensions == 1 or not words:
        return [1.0, *[0.0] * (dimensions - 1)]
    vector = [0.0] * dimensions
    for word, times in words.items():
        number, sign = place(word)
        vector[1 + number % (dimensions - 1)] += sign * math.sqrt(times)
    norm = math.sqrt(sum(value * value for value in vector)) or 1.0
    vector = [math.sqrt(1 - SHARED) * value / norm for value in vector]
    vector[0] = math.sqrt(1 - sum(value * value for value in vector))
    return vector


def to_base64(vector: list[float]) -> str:
    """The vector as OpenAI sends it with `encoding_format` `base64`: little-endian 32-bit floats."""
    return base64.b64encode(pack(f"<{len(vector)}f", *vector)).decode()
