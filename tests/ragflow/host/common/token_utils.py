"""The host's own token functions, as wrong as the original's where the tests look."""

import contextvars
import threading

tiktoken_cache_dir = "/nowhere"
token_usage_sink = contextvars.ContextVar("ragflow_token_usage_sink", default=None)
langfuse_run_attrs = contextvars.ContextVar("ragflow_langfuse_run_attrs", default=None)
_lock = threading.Lock()


class _Words:
    def encode(self, text):
        return [len(word) for word in text.split()]

    def decode(self, tokens):
        return " ".join("x" * token for token in tokens)


encoder = _Words()


def record_run_token_usage(prompt_tokens=0, completion_tokens=0, total_tokens=0):
    sink = token_usage_sink.get()
    if sink is not None:
        with _lock:
            sink["prompt_tokens"] += prompt_tokens
            sink["completion_tokens"] += completion_tokens
            sink["total_tokens"] += total_tokens
            sink["calls"] += 1


def usage_from_response(resp):
    usage = getattr(resp, "usage", None) or (resp.get("usage") if isinstance(resp, dict) else None) or {}
    read = usage.get if isinstance(usage, dict) else lambda name, default: getattr(usage, name, default)
    return {name: read(name, 0) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def total_token_count_from_response(resp):
    return usage_from_response(resp)["total_tokens"]


def num_tokens_from_string(string):
    return len(encoder.encode(string))


def truncate(string, max_len):
    return encoder.decode(encoder.encode(string)[:max_len])
