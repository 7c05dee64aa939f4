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
    count_tokens_batch,
    current_scope,
    extract_usage,
    truncate_tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ragmeter.context import bind, carry, current_run, label, resume, run
    from ragmeter.ledger import Ledger, LedgerError
    from ragmeter.meter import health, record, record_tokens
    from ragmeter.observe import instrument, instrumented, uninstrument
    from ragmeter.quota import Quota, QuotaExceeded
    from ragmeter.tokens.messages import MessageTokens, count_message_tokens
else:
    from ragmeter.later import __getattr__ as __getattr__

__all__ = [
    "Call",
    "Ledger",
    "LedgerError",
    "MessageTokens",
    "Quota",
    "QuotaExceeded",
    "Run",
    "RunTotals",
    "Scope",
    "StreamFilter",
    "Usage",
    "UsageStream",
    "bind",
    "carry",
    "count_message_tokens",
    "count_tokens",
    "count_tokens_batch",
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
    "truncate_tokens",
    "uninstrument",
]
