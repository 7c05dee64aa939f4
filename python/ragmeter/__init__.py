"""ragmeter counts every token that a RAG stack pays for, once, and says who spent it."""

from ragmeter._native import (
    Call,
    Run,
    RunTotals,
    Scope,
    StreamFilter,
    Usage,
    UsageStream,
    count_tokens,
    current_scope,
    extract_usage,
)
from ragmeter.context import bind, carry, current_run, label, resume, run
from ragmeter.ledger import Ledger, LedgerError, configure
from ragmeter.meter import health, record, record_tokens
from ragmeter.observe import instrument, instrumented, uninstrument

__all__ = [
    "Call",
    "Ledger",
    "LedgerError",
    "Run",
    "RunTotals",
    "Scope",
    "StreamFilter",
    "Usage",
    "UsageStream",
    "bind",
    "carry",
    "count_tokens",
    "current_run",
    "current_scope",
    "extract_usage",
    "health",
    "instrument",
    "instrumented",
    "label",
    "record",
    "record_tokens",
    "resume",
    "run",
    "uninstrument",
]

configure()
del configure
