"""The names that stand in for RAGFlow's `common/token_utils.py`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ragmeter import _native
from ragmeter._native import TokenUsageSink, langfuse_run_attrs, record_run_token_usage, token_usage_sink
from ragmeter.ragflow.encoder import Encoder
from ragmeter.ragflow.place import prepare_cache

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXACT",
    "NAMES",
    "TokenUsageSink",
    "encoder",
    "langfuse_run_attrs",
    "new_sink",
    "num_tokens_from_string",
    "record_run_token_usage",
    "tiktoken_cache_dir",
    "token_usage_sink",
    "total_token_count_from_response",
    "truncate",
    "usage_from_response",
]

EXACT: bool = os.environ.get("RAGMETER_RAGFLOW_COMPAT", "") == "exact"
"""Whether the bugs of the original are back. Read once, when this module is imported."""

usage_from_response: Callable[[Any], dict[str, int]]
total_token_count_from_response: Callable[[Any], Any]
num_tokens_from_string: Callable[[Any], int]
truncate: Callable[[str, Any], str]

if EXACT:
    usage_from_response = _native.usage_from_response_exact
    total_token_count_from_response = _native.total_token_count_from_response_exact
    num_tokens_from_string = _native.num_tokens_from_string_exact
    truncate = _native.truncate_exact
else:
    usage_from_response = _native.usage_from_response
    total_token_count_from_response = _native.total_token_count_from_response
    num_tokens_from_string = _native.num_tokens_from_string
    truncate = _native.truncate

encoder = Encoder(specials_are_text=not EXACT)
"""Encodes and decodes in `cl100k_base` without tiktoken."""

tiktoken_cache_dir: str = prepare_cache()
"""Where tiktoken finds its vocabularies: the directory of RAGFlow, as `TIKTOKEN_CACHE_DIR` says from now on.

Where no RAGFlow is to be found, what `TIKTOKEN_CACHE_DIR` says already, and nothing is changed."""

NAMES = (
    "token_usage_sink",
    "langfuse_run_attrs",
    "record_run_token_usage",
    "usage_from_response",
    "total_token_count_from_response",
    "num_tokens_from_string",
    "truncate",
    "encoder",
    "tiktoken_cache_dir",
)
"""The public names of the original."""


def new_sink() -> TokenUsageSink:
    """Return an empty native sink for `token_usage_sink.set(…)`.

    It reads like the dict that RAGFlow uses. `json.dumps` takes no mapping that is no dict; `sink.as_dict()` is one.

    Example:
        >>> token = token_usage_sink.set(sink := new_sink())
        >>> record_run_token_usage(12, 3, 15)
        >>> token_usage_sink.reset(token)
        >>> sink
        {'prompt_tokens': 12, 'completion_tokens': 3, 'total_tokens': 15, 'calls': 1}
    """
    return TokenUsageSink()
