"""ragmeter counts every token that a RAG stack pays for, once, and says who spent it."""

from ragmeter._native import (
    Call,
    Run,
    RunTotals,
    Scope,
    Usage,
    count_tokens,
    count_tokens_batch,
    current_scope,
    truncate_tokens,
)
from ragmeter.context import bind, carry, current_run, label, resume, run
from ragmeter.messages import MessageTokens, count_message_tokens
from ragmeter.meter import health, record, record_tokens

__all__ = [
    "Call",
    "MessageTokens",
    "Run",
    "RunTotals",
    "Scope",
    "Usage",
    "bind",
    "carry",
    "count_message_tokens",
    "count_tokens",
    "count_tokens_batch",
    "current_run",
    "current_scope",
    "health",
    "label",
    "record",
    "record_tokens",
    "resume",
    "run",
    "truncate_tokens",
]
