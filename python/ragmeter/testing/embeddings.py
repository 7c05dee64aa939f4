"""Embeddings: reading the input, counting it, and the shape of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing.fault import Fault
from ragmeter.testing.refusal import RefusedError, whole
from ragmeter.testing.vector import embed, to_base64

if TYPE_CHECKING:
    from ragmeter.testing.call import Call

MOST = 2048


def inputs(value: Any) -> list[str | list[int]]:
    """The texts, or lists of token ids, that are to be embedded.

    Raises:
        RefusedError: 400 for an empty input, too many of them, or something else than text and token ids.
    """
    found = [value] if isinstance(value, str) or _ids(value) else value
    if not isinstance(found, list) or not found or len(found) > MOST:
        raise RefusedError.invalid("'$.input' is invalid. Please check the API reference: embeddings/create.", "input")
    if not all(one and (isinstance(one, str) or _ids(one)) for one in found):
        raise RefusedError.invalid("'$.input' is invalid. Please check the API reference: embeddings/create.", "input")
    return found


def tokens(call: Call, found: list[str | list[int]]) -> int:
    """What they cost."""
    return sum(call.count(one) if isinstance(one, str) else len(one) for one in found)


def words(found: list[str | list[int]]) -> list[str]:
    """Each of them as text."""
    return [one if isinstance(one, str) else " ".join(map(str, one)) for one in found]


def plain(call: Call, found: list[str | list[int]], dimensions: int) -> dict[str, Any]:
    """The body of the answer."""
    size = whole(call.body, "dimensions") or dimensions
    packed = "base64" in (call.body.get("encoding_format"), call.body.get("embedding_type"))  # OpenAI, Jina
    vectors = [] if call.fault is Fault.EMPTY else [embed(text, size) for text in words(found)]
    data = [
        {"object": "embedding", "index": index, "embedding": to_base64(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    cost = tokens(call, found)
    usage = {"prompt_tokens": cost, "total_tokens": cost}
    return {"object": "list", "data": data, "model": call.model, **call.report(usage)}


def _ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)
