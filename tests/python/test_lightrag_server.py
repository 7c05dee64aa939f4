"""Parts of the metering of LightRAG's server that need no server."""

import asyncio
import json
import os
import time

import pytest

import ragmeter
from ragmeter.lightrag import instrument_server
from ragmeter.lightrag.server.answer import Answer
from ragmeter.lightrag.server.middleware import header_names
from ragmeter.lightrag.server.pages import page_of
from ragmeter.lightrag.server.payers import Payers


def test_who_pays_for_a_document_is_known_until_it_is_done(tmp_path):
    payers = Payers(tmp_path / "payers")
    payers.note("d0")  # by nobody
    assert payers.find("d0") is None
    with ragmeter.run("upload", tenant="acme", user="ann") as first:
        payers.note("d1")
    with ragmeter.run("another", tenant="other"):
        payers.note("d1")  # too late
    found = Payers(tmp_path / "payers").find("d1")
    assert found.labels == {"tenant": "acme", "user": "ann"}
    assert (found.run.id, found.run.name) == (first.id, "upload")
    payers.forget("d1")
    payers.forget("d1")
    assert payers.find("d1") is None


def test_a_document_waits_for_the_ledger_as_long_as_somebody_says_so(tmp_path):
    payers = Payers(tmp_path)
    assert not payers.is_waiting("d")
    payers.wait("d")
    assert payers.is_waiting("d")
    assert payers.find("d") is None
    (file,) = tmp_path.iterdir()
    os.utime(file, (0, time.time() - 3600))  # whoever said it is dead
    assert not payers.is_waiting("d")


def test_headers_are_given_or_named_by_the_environment_or_ours(monkeypatch):
    monkeypatch.setenv("RAGMETER_USER_HEADER", "X-Login")
    names = header_names({"tenant": "X-Customer"})
    assert names == {b"x-customer": "tenant", b"x-login": "user", b"x-ragmeter-session": "session"}
    with pytest.raises(ValueError, match="headers name tenant, user, session, not customer"):
        header_names({"customer": "X"})
    with pytest.raises(TypeError, match="takes the LightRAG that the application serves"):
        instrument_server(object())


def sent(page, *messages):
    """What goes out when a page gets these messages."""
    out = []

    async def send(message):
        out.append(message)

    async def run():
        answer = Answer(send, page)
        for message in messages:
            await answer(message)

    asyncio.run(run())
    return out[0], b"".join(message["body"] for message in out[1:])


def start(kind, status=200, *headers):
    return {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *headers]}


def body(data, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.fixture
def page():
    def opened(path):
        page = page_of("POST", path)(f"POST {path}", None, ragmeter.run())
        with page.block as page.run:
            ragmeter.record_tokens(12, 3, "m")
        return page

    return opened


@pytest.mark.parametrize(
    "parts", [[b'{"response": "\xc3\xa4"}'], [b'{"resp', b'onse": "\xc3\xa4', b'"}\n'], [b"{ ", b"}"]]
)
def test_metrics_join_a_body_however_it_comes(page, parts):
    pieces = [body(part, more=part is not parts[-1]) for part in parts]
    head, data = sent(page("/query"), start(b"application/json", 200, (b"content-length", b"99")), *pieces)
    answer = json.loads(data)
    assert answer.pop("metrics")["total_tokens"] == 15
    assert answer == json.loads(b"".join(parts))
    assert dict(head["headers"])[b"content-length"] == str(len(data)).encode()


@pytest.mark.parametrize(
    "head",
    [
        start(b"application/json", 500),
        start(b"text/html"),
        start(b"application/json", 200, (b"content-encoding", b"gzip")),
    ],
    ids=["error", "page", "compressed"],
)
def test_what_is_no_answer_passes_as_it_is(page, head):
    for path in ("/query", "/query/stream", "/api/chat"):
        assert sent(page(path), head, body(b"{}")) == (head, b"{}")


def test_what_is_no_object_passes_as_it_is(page):
    assert sent(page("/query"), start(b"application/json"), body(b"[1]"))[1] == b"[1]"


def test_a_stream_goes_on_at_once_and_ends_in_metrics(page):
    kind = start(b"application/x-ndjson")
    _, data = sent(page("/query/stream"), kind, body(b'{"response": "a"}', more=True), body(b""))
    first, last = data.splitlines()
    assert json.loads(first) == {"response": "a"}
    assert json.loads(last)["metrics"]["total_tokens"] == 15


def test_the_counts_of_ollama_are_true_wherever_its_last_line_is_cut(page):
    last = b'{"done": true, "prompt_eval_count": 1, "eval_count": 1}'
    lines = b'{"done": false, "message": {"content": "eval_count"}}\n' + last
    for at in range(0, len(lines), 7):
        _, data = sent(page("/api/chat"), start(b"application/x-ndjson"), body(lines[:at], more=True), body(lines[at:]))
        first, changed = data.split(b"\n")
        assert first + b"\n" + last == lines
        assert json.loads(changed) == {"done": True, "prompt_eval_count": 12, "eval_count": 3}


def test_which_endpoints_are_runs():
    assert page_of("GET", "/documents/track_status/t1").changes == {"json"}
    assert page_of("POST", "/graph/entity/edit").changes == frozenset()
    for method, path in (("GET", "/health"), ("OPTIONS", "/query"), ("GET", "/documents")):
        assert page_of(method, path) is None
