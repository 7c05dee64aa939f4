"""Offline token counters: exact for every encoding of OpenAI, without a download."""

from ragmeter._native import Encoding, count_tokens, get_encoding, list_encoding_names

__all__ = ["Encoding", "count_tokens", "get_encoding", "list_encoding_names"]
