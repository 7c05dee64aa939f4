"""The RAGFlow door: the names of RAGFlow's `common/token_utils.py`, native, and a run scope that no call escapes.

    import ragmeter.ragflow

    ragmeter.ragflow.install()           # RAGFlow counts through ragmeter
    ragmeter.ragflow.install(runs=True)  # and every run of an agent is a ragmeter run

or start the server with `ragmeter run -- python api/ragflow_server.py`.

The bugs of the original are fixed (docs/ragflow.md lists them); with `RAGMETER_RAGFLOW_COMPAT=exact` in the environment
all of them are back.
"""

from __future__ import annotations

from ragmeter.ragflow.door import install, installed, uninstall
from ragmeter.ragflow.names import (
    EXACT,
    TokenUsageSink,
    encoder,
    langfuse_run_attrs,
    new_sink,
    num_tokens_from_string,
    record_run_token_usage,
    tiktoken_cache_dir,
    token_usage_sink,
    total_token_count_from_response,
    truncate,
    usage_from_response,
)

__all__ = [
    "EXACT",
    "TokenUsageSink",
    "encoder",
    "install",
    "installed",
    "langfuse_run_attrs",
    "new_sink",
    "num_tokens_from_string",
    "record_run_token_usage",
    "tiktoken_cache_dir",
    "token_usage_sink",
    "total_token_count_from_response",
    "truncate",
    "uninstall",
    "usage_from_response",
]
