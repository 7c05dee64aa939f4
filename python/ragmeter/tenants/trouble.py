"""Trouble: what exactly went wrong with a call, for whoever set the key. No secret is in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragmeter.tenants.careful import BadAnswerError
from ragmeter.tenants.reach import NotReachableError
from ragmeter.tenants.secret import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragmeter.tenants.models import TenantLLM

__all__ = ["explain"]

_LONGEST = 300
_MEANINGS = {
    401: "the key is wrong",
    403: "the key is not allowed to do this",
    404: "there is no such model, or the URL is wrong",
    408: "it gave up waiting",
    413: "the request was too large",
    429: "it has had enough requests, or the account has no credit",
}


def explain(exc: BaseException, llm: TenantLLM) -> str:
    """Return in a sentence why a call of a model failed."""
    return scrub(_reason(exc), [llm.api_key])[:_LONGEST]


def _reason(exc: BaseException) -> str:
    for read in (_of_answer, _of_status, _of_connection):
        for cause in _chain(exc):
            if (reason := read(cause)) is not None:
                return reason
    if isinstance(exc, (AttributeError, IndexError, KeyError, TypeError)):
        return "its answer has not the form of this API"
    return f"{type(exc).__name__}: {exc}"


def _of_answer(cause: BaseException) -> str | None:
    if isinstance(cause, (BadAnswerError, NotReachableError)):
        return str(cause)
    if isinstance(cause, json.JSONDecodeError):
        return "it answers with something that is no JSON; is the URL that of an API?"
    return None


def _of_status(cause: BaseException) -> str | None:
    status = getattr(cause, "status_code", None)
    if not isinstance(status, int):
        return None
    meaning = _MEANINGS.get(status, "the server failed" if status >= 500 else "the request was refused")  # noqa: PLR2004
    said = _said(cause)
    return f"HTTP {status}: {meaning}{f' ({said})' if said else ''}"


def _of_connection(cause: BaseException) -> str | None:
    name = type(cause).__name__
    if "Timeout" in name:
        return "it did not answer in time"
    if name in {"ConnectError", "ConnectionRefusedError", "gaierror", "UnsupportedProtocol", "InvalidURL"}:
        return f"it cannot be reached ({cause})"
    return None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _said(exc: Any) -> str:
    """Return the provider's own words, if it found some; not a page of HTML."""
    body = getattr(exc, "body", None)
    if isinstance(body, dict):
        body = body.get("error", body)
    words = body.get("message") if isinstance(body, dict) else body
    return " ".join(words.split())[:_LONGEST] if isinstance(words, str) and "<" not in words else ""
