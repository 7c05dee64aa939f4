"""Pages: what each endpoint of a LightRAG server says about its cost, and where.

POST /query, /query/data            a `metrics` object in the answer
POST /query/stream                  one more line, {"metrics": …}
POST /api/chat, /api/generate       Ollama's own `prompt_eval_count` and `eval_count`, true
POST /documents/upload, text, …     `metrics` that says where the numbers will be
GET  /documents/track_status/{id}   `metrics` of the upload and of each of its documents
any other that changes something    nothing; its cost stands in the log and the ledger
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from ragmeter.ledger import LedgerError, current_ledger
from ragmeter.lightrag.billing import bill
from ragmeter.lightrag.server.numbers import log, of_nothing, of_run, of_upload
from ragmeter.lightrag.server.payers import payers_of
from ragmeter.lightrag.server.uploads import DONE
from ragmeter.meter import report_error

if TYPE_CHECKING:
    from ragmeter import context
    from ragmeter._native import Run

__all__ = ["Page", "page_of"]

_NOTE = "tokens are counted while the documents are processed; /documents/track_status/{} has them"
_NO_LEDGER = "ragmeter has no ledger (RAGMETER_LEDGER); what an upload cost is not known afterwards"
_UNREAD = "the ledger cannot be read; the server's log says why"
_FLUSH = 2.0
"""Seconds to wait for this process's own calls to be in the ledger before it is read."""


class Page:
    """An endpoint that may call a model and says nothing about it in its answer.

    Attributes:
        block: The run of the request, to be entered.
        run: The same once it is entered.
        changes: Which answers it changes: `json`, a body as a whole; `lines`, a stream of JSON lines.
        says: What it puts there, for the OpenAPI document: `query`, `line`, `upload` or `status`.
        event: What its usage is sent as.
    """

    changes: frozenset[str] = frozenset()
    says: str | None = None
    event = "upload"
    run: Run

    def __init__(self, name: str, rag: Any, block: context.run) -> None:
        self.name = name
        self.rag = rag
        self.block = block

    async def body(self, data: bytes) -> bytes:
        """Return a JSON body with the numbers in it."""
        return data

    def feed(self, data: bytes) -> bytes:
        """Return what to send of a stream after more of it has come."""
        return data

    def end(self) -> bytes:
        """Return what remains to be sent when a stream is over."""
        return b""

    def over(self) -> None:
        """Log and send what the request cost."""
        if self.run.calls:
            log(f"{self.name}, run {self.run.id}", of_run(self.run))
            bill(self.run, self.event)


class _Query(Page):
    """A question, answered at once."""

    changes = frozenset({"json"})
    says = "query"
    event = "query"

    async def body(self, data: bytes) -> bytes:
        return _with(data, "metrics", of_run(self.run))


class _Stream(Page):
    """A question, answered in lines of JSON."""

    changes = frozenset({"lines"})
    says = "line"
    event = "query"
    _at_line_end = True

    def feed(self, data: bytes) -> bytes:
        if data:
            self._at_line_end = data.endswith(b"\n")
        return data

    def end(self) -> bytes:
        line = json.dumps({"metrics": of_run(self.run)}).encode() + b"\n"
        return line if self._at_line_end else b"\n" + line


class _Ollama(Page):
    """A question in Ollama's protocol, whose last line has the counts."""

    changes = frozenset({"json", "lines"})
    event = "query"
    _rest = b""

    async def body(self, data: bytes) -> bytes:
        return self._counted(data)

    def feed(self, data: bytes) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return b"".join(self._counted(line) + b"\n" for line in lines)

    def end(self) -> bytes:
        return self._counted(self._rest)

    def _counted(self, line: bytes) -> bytes:
        if b'"eval_count"' not in line:
            return line
        answer = json.loads(line)
        if answer.get("done") is not True:
            return line
        found = of_run(self.run)
        if found["unknown_calls"]:
            return line  # LightRAG's guess is better than a part of the truth
        answer.update(prompt_eval_count=found["prompt_tokens"], eval_count=found["completion_tokens"])
        return json.dumps(answer, ensure_ascii=False).encode()


class _Documents(Page):
    """Work on documents, which goes on when it is answered; what it costs is told where it ends."""

    def over(self) -> None:
        """Nothing is known yet."""


class _Upload(_Documents):
    """Documents on their way in."""

    changes = frozenset({"json"})
    says = "upload"

    async def body(self, data: bytes) -> bytes:
        track_id = json.loads(data).get("track_id")
        if not track_id:
            return data
        note = _NOTE.format(track_id) if current_ledger() is not None else _NO_LEDGER
        return _with(data, "metrics", {"status": "processing", "model": _model(self.rag), "note": note})


class _TrackStatus(_Documents):
    """What an upload and its documents have cost so far, and whether that is all."""

    changes = frozenset({"json"})
    says = "status"

    async def body(self, data: bytes) -> bytes:
        ledger = current_ledger()
        if ledger is None:
            return _with(data, "metrics", {"status": "unknown", "note": _NO_LEDGER})
        answer = json.loads(data)
        try:
            await ledger.aflush(_FLUSH)
            whole, documents = await asyncio.to_thread(of_upload, ledger, answer["track_id"])
        except LedgerError as exc:
            report_error("reading the ledger", exc)
            return _with(data, "metrics", {"status": "unknown", "note": _UNREAD})
        states = [document["status"].lower() for document in answer["documents"]]
        payers = payers_of(self.rag)
        waiting = any(payers.is_waiting(document["id"]) for document in answer["documents"])
        done = bool(states) and all(state in DONE for state in states) and not waiting
        for document in answer["documents"]:
            document["metrics"] = documents.get(document["id"]) or of_nothing()
        answer["metrics"] = {"status": "done" if done else "processing", **whole}
        return json.dumps(answer, ensure_ascii=False).encode()


_PAGES: dict[tuple[str, str], type[Page]] = {
    ("POST", "/query"): _Query,
    ("POST", "/query/data"): _Query,
    ("POST", "/query/stream"): _Stream,
    ("POST", "/api/chat"): _Ollama,
    ("POST", "/api/generate"): _Ollama,
    ("POST", "/documents/upload"): _Upload,
    ("POST", "/documents/file"): _Upload,
    ("POST", "/documents/file_batch"): _Upload,
    ("POST", "/documents/text"): _Upload,
    ("POST", "/documents/texts"): _Upload,
    ("POST", "/documents/scan"): _Upload,
}


def page_of(method: str, path: str) -> type[Page] | None:
    """Return the page of an endpoint; None where nothing is spent and nothing to be said."""
    if method == "GET":
        return _TrackStatus if path.startswith("/documents/track_status/") else None
    if method in {"HEAD", "OPTIONS"}:
        return None
    other = _Documents if path.startswith("/documents") else Page
    return _PAGES.get((method, path.rstrip("/")), other)


def _with(body: bytes, name: str, value: Any) -> bytes:
    """Return a JSON object with one more member; what stands in it already is left as it is."""
    text = body.rstrip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return body
    comma = b"," if text[1:-1].strip() else b""
    return text[:-1] + comma + json.dumps({name: value}, ensure_ascii=False).encode()[1:]


def _model(rag: Any) -> str | None:
    """The model that reads documents: that of the role if the role has one of its own."""
    states = getattr(rag, "_role_llm_states", None) or {}
    metadata = getattr(states.get("extract"), "metadata", None) or {}
    model = metadata.get("model") if isinstance(metadata, dict) else None
    return model or getattr(rag, "llm_model_name", None)
