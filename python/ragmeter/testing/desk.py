"""The desk: takes a request, decides what is billed for it, and says what goes back over the wire."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ragmeter.testing import answer, chat, embeddings, prompt, rerank, responses
from ragmeter.testing.bill import Bill, Ledger
from ragmeter.testing.call import Call, Event, dump
from ragmeter.testing.fault import Fault, Faults, Rule
from ragmeter.testing.generate import Generation, generate
from ragmeter.testing.prompt import Prompt, markers
from ragmeter.testing.refusal import RefusedError, whole
from ragmeter.testing.route import Route, route
from ragmeter.testing.text import PromptCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ragmeter.testing.text import Tokenizer
    from ragmeter.testing.wire import Request

PREFIX = {"chat": "chatcmpl-", "completions": "cmpl-", "responses": "resp_", "embeddings": ""}
MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-5-mini", "text-embedding-3-small", "text-embedding-3-large")
KEPT_RESPONSES = 1000
ONE_PIECE = frozenset({"embeddings", "rerank"})
"""APIs that cannot stream."""


@dataclass(slots=True)
class Reply:
    """What goes back: a body, or the events of a stream."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    events: Iterator[Event] | None = None
    made: Generation | None = None
    """What the events are made of."""
    bill: Bill | None = None
    counts: bool = False
    """Whether the true counts are in the body."""
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How a stub behaves."""

    api_key: str | None
    dimensions: int
    reasoning: float
    per_chunk: int
    tokenizer: Tokenizer
    answer: Callable[[Prompt], str | None] | None


class Desk:
    """Everything about a stub that is not the network."""

    def __init__(self, settings: Settings, *, cache_minimum: int) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.faults = Faults()
        self.cache = PromptCache(cache_minimum)
        self.responses: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def clear(self) -> None:
        """Be as new."""
        self.ledger.clear()
        self.faults.clear()
        self.cache.clear()
        self.responses.clear()

    def serve(self, request: Request) -> Reply:
        """Answer a request; never raises for one that is merely wrong."""
        request_id = f"req_{uuid4().hex}"
        headers = {
            "x-request-id": request_id,
            "openai-organization": "ragmeter",
            "openai-processing-ms": "1",
            "openai-version": "2020-10-01",
        }
        try:
            reply = self._serve(request, request_id)
        except RefusedError as refusal:
            reply = Reply(refusal.status, refusal.headers, dump(refusal.body))
        kind = "application/json" if reply.events is None else "text/event-stream; charset=utf-8"
        reply.headers = {"content-type": kind, **headers, **reply.headers}
        return reply

    def _serve(self, request: Request, request_id: str) -> Reply:
        at = route(request.method, request.path, request.query)
        self._check_key(request.headers)
        if at.api == "models":
            return self._models(at.name)
        if at.api == "response":
            return self._stored(at.name)
        body = _read(request.body)
        answer = {"embeddings": self._embed, "rerank": self._rerank}.get(at.api, self._write)
        if at.dialect is None:
            return answer(request, request_id, at, body)
        try:
            asked = at.dialect.read(request.path, body)
            if at.dialect.streams(request.headers):
                asked["stream"] = True
            return answer(request, request_id, at, asked)
        except RefusedError as refusal:
            refusal.headers, refusal.body = at.dialect.refuse(refusal)
            raise

    def _check_key(self, headers: Mapping[str, str]) -> None:
        named = (headers.get(name) for name in ("api-key", "x-api-key", "x-goog-api-key"))
        given = next(filter(None, named), headers.get("authorization", "").removeprefix("Bearer ").strip())
        if self.settings.api_key is not None and given != self.settings.api_key:
            raise RefusedError.key(given)

    def _models(self, name: str) -> Reply:
        listed = [
            {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "ragmeter"}
            for model in ([name] if name else MODELS)
        ]
        return Reply(200, {}, dump(listed[0] if name else {"object": "list", "data": listed}))

    def _stored(self, name: str) -> Reply:
        if name not in self.responses:
            raise RefusedError(404, f"Response with id '{name}' not found.")
        return Reply(200, {}, dump(self.responses[name]))

    def _embed(self, request: Request, request_id: str, at: Route, body: dict[str, Any]) -> Reply:
        if "input" not in body:
            raise RefusedError.missing("input")
        found = embeddings.inputs(body["input"])
        text = "\n".join(embeddings.words(found))
        bill = self._bill(request, request_id, at, body, role="embedding", text=text)
        call = self._call(at, body, bill, text, request_id)
        bill.prompt_tokens = embeddings.tokens(call, found)
        content = dump((at.dialect.embed if at.dialect else embeddings.plain)(call, found, self.settings.dimensions))
        self.ledger.write(bill)
        headers = at.dialect.headers(call, bill.prompt_tokens, 0) if at.dialect else {}
        return Reply(200, headers, content, bill=bill, counts=call.honest, rule=call.rule)

    def _rerank(self, request: Request, request_id: str, at: Route, body: dict[str, Any]) -> Reply:
        found = rerank.texts(body)
        text = "\n".join(found)
        bill = self._bill(request, request_id, at, body, role="rerank", text=text)
        call = self._call(at, body, bill, text, request_id)
        bill.prompt_tokens = rerank.tokens(call, found)
        content = dump((at.dialect.rerank if at.dialect else rerank.plain)(call, found))
        self.ledger.write(bill)
        return Reply(200, {}, content, bill=bill, counts=call.honest, rule=call.rule)

    def _write(self, request: Request, request_id: str, at: Route, body: dict[str, Any]) -> Reply:
        asked, copies = _asked(at.api, body)
        stream = bool(body.get("stream"))
        if body.get("stream_options") is not None and not stream:
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise RefusedError.invalid(message, "stream_options")
        bill = self._bill(request, request_id, at, body, role=asked.role, text=asked.text)
        call = self._call(at, body, bill, asked.text, f"{PREFIX[at.api]}{uuid4().hex[:29]}")
        own = self.settings.answer(asked) if self.settings.answer else None
        made = generate(
            asked,
            answer.write(asked) if own is None else own,
            body={**body, "n": copies},
            limit=_limit(at.api, body),
            tokenizer=self.settings.tokenizer,
            cache=self.cache,
            model=bill.model,
            reasoning=self.settings.reasoning,
            fault=call.fault,
        )
        bill.prompt_tokens = made.prompt_tokens
        bill.completion_tokens = made.completion_tokens
        bill.cached_tokens = made.cached_tokens
        bill.reasoning_tokens = made.reasoning_tokens
        bill.prompt_audio_tokens = made.prompt_audio_tokens
        bill.completion_audio_tokens = made.completion_audio_tokens
        bill.accepted_prediction_tokens = made.accepted_prediction_tokens
        bill.rejected_prediction_tokens = made.rejected_prediction_tokens
        bill.text = made.text
        api = at.dialect or (responses if at.api == "responses" else chat)
        if at.api == "responses" and body.get("store", True):
            self.responses[call.id] = responses.plain(call, made)
            while len(self.responses) > KEPT_RESPONSES:
                self.responses.popitem(last=False)
        self.ledger.write(bill)
        if not stream:
            headers = at.dialect.headers(call, bill.prompt_tokens, bill.completion_tokens) if at.dialect else {}
            said = api.plain(call, made)
            content = said.encode() if isinstance(said, str) else dump(said)
            return Reply(200, headers, content, bill=bill, counts=call.honest, rule=call.rule)
        headers = {"content-type": at.dialect.STREAM_TYPE} if at.dialect else {}
        return Reply(200, headers, events=api.stream(call, made), made=made, bill=bill, rule=call.rule)

    def _bill(
        self, request: Request, request_id: str, at: Route, body: Mapping[str, Any], *, role: str, text: str
    ) -> Bill:
        model = at.name or body.get("model")
        if not isinstance(model, str) or not model:
            raise RefusedError.invalid("you must provide a model parameter")
        retry = request.headers.get("x-stainless-retry-count", "0")
        return Bill(
            id=request_id,
            request_id=request_id,
            path=request.path,
            api=at.api,
            model=model,
            role=role,
            stream=bool(body.get("stream")) and at.api not in ONE_PIECE,
            prompt_tokens=0,
            markers=_markers(request.headers.get("x-ragmeter-marker", ""), text),
            started=time.time(),
            retry=int(retry) if retry.isdecimal() else 0,
        )

    def _call(self, at: Route, body: Mapping[str, Any], bill: Bill, text: str, answer_id: str) -> Call:
        seen = "\n".join([text, *bill.markers])
        rule = self.faults.pick(api=at.api, role=bill.role, text=seen, body=body)
        bill.fault = rule.fault.value if rule else None
        refusal = _refusal(rule.fault if rule else None, bill.model)
        if refusal is not None:
            bill.status = refusal.status
            self.ledger.write(bill)
            raise refusal
        bill.id = answer_id
        created, (per_chunk, tokenizer) = int(bill.started), (self.settings.per_chunk, self.settings.tokenizer)
        return Call(at.api, body, bill.model, answer_id, created, at.azure, rule, per_chunk, tokenizer)


def _refusal(fault: Fault | None, model: str) -> RefusedError | None:
    if fault is Fault.RATE_LIMIT:
        return RefusedError.rate_limit(model)
    if fault is Fault.SERVER_ERROR:
        return RefusedError.server_error()
    if fault is Fault.REJECT_STREAM_OPTIONS:
        return RefusedError.invalid("Unrecognized request argument supplied: stream_options")
    return None


def _markers(header: str, text: str) -> tuple[str, ...]:
    given = (marker.strip() for marker in header.split(",") if marker.strip())
    return tuple(dict.fromkeys([*given, *markers(text)]))


def _read(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError.invalid("We could not parse the JSON body of your request.")
    return value


def _asked(api: str, body: dict[str, Any]) -> tuple[Prompt, int]:
    copies = whole(body, "n") or 1
    if api == "responses":
        if "input" not in body:
            raise RefusedError.missing("input")
        return prompt.read(responses.messages(body), body), 1
    if api == "completions":
        asked = body.get("prompt", "")
        several = isinstance(asked, list) and bool(asked) and not isinstance(asked[0], int)
        said = [str(one) for one in (asked if several else [asked])]
        return prompt.read(said, body), copies * len(said)
    messages = body.get("messages")
    if messages is None:
        raise RefusedError.missing("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError.invalid(
            f"Invalid 'messages': expected a non-empty array, but got {messages!r:.40}.", "messages"
        )
    return prompt.read(messages, body), copies


def _limit(api: str, body: Mapping[str, Any]) -> int | None:
    if api == "responses":
        return whole(body, "max_output_tokens")
    given = (whole(body, key) for key in ("max_completion_tokens", "max_tokens"))
    limit = next((value for value in given if value is not None), None)
    return 16 if limit is None and api == "completions" else limit
