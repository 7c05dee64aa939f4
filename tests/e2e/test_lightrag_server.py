"""LightRAG's own API server, unmodified, as `ragmeter run` starts it: every answer says what the stub server billed."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragmeter import Ledger
from ragmeter.testing import Fault, StubServer, Totals, documents
from ragmeter.testing.refusal import RefusedError

BIN = Path(sys.executable).parent
TEXTS = documents()
RUN = ["ragmeter", "run", "--strict", "--"]
KINDS = ("query", "query/data", "query/stream", "api/chat", "api/generate")


def trouble(prompt):
    """What the provider makes of two questions: it refuses one, and answers the other with what is no Unicode."""
    if prompt.role == "query" and "MARK-refused" in prompt.text:
        raise RefusedError.invalid("I cannot help with that.")
    return "\ud800" if prompt.role == "query" and "MARK-broken" in prompt.text else None


class Host:
    """A LightRAG server in a process of its own, its stub provider, and a backend that wants to know."""

    def __init__(self, command, folder, tiktoken_files, **environment):
        self.folder, self.command = folder, command
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        prefix = environment.get("LIGHTRAG_API_PREFIX", "")
        self.url = f"http://127.0.0.1:{self.port}{prefix}/"
        self.stub = StubServer(answer=trouble).__enter__()
        self.backend = Backend()
        access = {"BINDING": "openai", "BINDING_HOST": self.stub.base_url, "BINDING_API_KEY": "any"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAGMETER")},
            **{f"{kind}_{name}": value for kind in ("LLM", "EMBEDDING") for name, value in access.items()},
            "LLM_MODEL": "gpt-4o-mini", "EMBEDDING_MODEL": "text-embedding-3-small", "EMBEDDING_DIM": "64",
            "ENABLE_LLM_CACHE": "false", "RERANK_BINDING": "null", "TIKTOKEN_CACHE_DIR": str(tiktoken_files),
            "WORKING_DIR": str(folder / "rag"), "INPUT_DIR": str(folder / "in"), "LOG_DIR": str(folder),
            "PATH": f"{BIN}:{os.environ['PATH']}", "RAGMETER_WEBHOOK_URL": self.backend.url, **environment,
        }  # fmt: skip

    @property
    def ledger(self):
        return f"sqlite:{self.folder}/rag/ragmeter.db"

    def __enter__(self):
        self.output = (self.folder / "output.txt").open("wb")
        command = [*self.command, "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=self.output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.wait_for(self._is_up)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()
        self.backend.shutdown()
        self.backend.server_close()
        self.stub.__exit__(None, None, None)

    def _is_up(self):
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return self.get("health")

    def log(self):
        return (self.folder / "output.txt").read_text()

    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.05)
        return found

    def send(self, path, data=None, method=None, **headers):
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path):
        return json.loads(self.send(path))

    def post(self, path, body=None, **headers):
        return self.send(path, json.dumps(body or {}).encode(), **{"content-type": "application/json", **headers})

    def ask(self, kind, question, **headers):
        """Ask in one of the ways there are; the answer's metrics, or the counts of Ollama's protocol."""
        if kind == "api/chat":
            body = {"model": "m", "messages": [{"role": "user", "content": question}], "stream": True}
        elif kind == "api/generate":
            body = {"model": "m", "prompt": question, "stream": False}
        else:
            body = {"query": question, "mode": "mix"}
        *_, last = self.post(kind, body, **headers).splitlines()
        answer = json.loads(last)
        if kind.startswith("api/"):
            assert answer["done"]
            assert "metrics" not in answer
            return answer
        return answer["metrics"]

    def insert(self, text, name, **headers):
        answer = json.loads(self.post("documents/text", {"text": text, "file_source": name}, **headers))
        metrics = answer["metrics"]
        assert (metrics["status"], metrics["model"]) == ("processing", "gpt-4o-mini")
        assert answer["track_id"] in metrics["note"]
        return answer["track_id"]

    def status(self, track_id):
        return self.get(f"documents/track_status/{track_id}")

    def finished(self, track_id):
        """The status of an upload once it is done."""

        def done():
            status = self.status(track_id)
            return status if status["metrics"]["status"] == "done" else None

        return self.wait_for(done)


class Backend(ThreadingHTTPServer):
    """Takes the events of a webhook."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taker)
        self.events = []
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def about(self, kind):
        return {event["data"]["track_id"]: event["data"] for event in self.events if event["type"].endswith(kind)}


class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def marked(text, marker):
    """A text that shows whose it is wherever it is cut."""
    return "\n".join(f"{line} {marker}" for line in text.splitlines())


def check(metrics, billed):
    """A metrics object is what was billed."""
    assert metrics["origin"] == "reported"
    assert (metrics["prompt_tokens"], metrics["completion_tokens"]) == (billed.prompt_tokens, billed.completion_tokens)
    assert metrics["total_tokens"] == billed.total_tokens
    assert metrics["cached_tokens"] == metrics["input_cached_tokens"] == billed.cached_tokens
    assert metrics["output_reasoning_tokens"] == billed.reasoning_tokens
    assert metrics["call_count"] == billed.model_calls
    assert (metrics["embedding_tokens"], metrics["embedding_calls"]) == (
        billed.embedding_tokens,
        billed.embedding_calls,
    )
    assert sum(role["total_tokens"] for role in metrics["by_role"].values()) == (
        billed.total_tokens + billed.embedding_tokens
    )


def check_ollama(answer, billed):
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (billed.prompt_tokens, billed.completion_tokens)


def check_together(host, tracks, bills):
    """Uploads that ran together cost together what was billed, and each its own extraction."""
    found = [host.finished(track)["metrics"] for track in tracks.values()]
    billed = Totals.of(bills)
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "embedding_tokens"):
        assert sum(metrics[name] for metrics in found) == getattr(billed, name), name
    assert sum(metrics["call_count"] for metrics in found) == billed.model_calls
    for marker, track in tracks.items():
        extracted = Totals.of(bill for bill in host.stub.bills_for(marker) if bill.role in {"extract", "glean"})
        status = host.status(track)
        roles = status["metrics"]["by_role"]
        assert roles["extract"]["total_tokens"] + roles["glean"]["total_tokens"] == extracted.total_tokens > 0
        (document,) = status["documents"]
        assert {**status["metrics"], "status": None} == {**document["metrics"], "status": None}
    return found


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory, tiktoken_files):
    settings = {"WORKSPACE": "house", "LIGHTRAG_API_PREFIX": "/site"}
    with Host([*RUN, "lightrag-server"], tmp_path_factory.mktemp("uvicorn"), tiktoken_files, **settings) as host:
        name, text = next(iter(TEXTS.items()))
        host.first = host.insert(text, name)
        host.finished(host.first)
        yield host


def test_an_upload_costs_what_was_billed_for_it(uvicorn):
    status = uvicorn.finished(uvicorn.first)
    bills = [bill for bill in uvicorn.stub.bills if bill.role in {"extract", "glean", "summary", "embedding"}]
    check(status["metrics"], Totals.of(bills))
    (document,) = status["documents"]
    check(document["metrics"], Totals.of(bills))
    event = uvicorn.wait_for(lambda: uvicorn.backend.about("upload").get(uvicorn.first))
    assert event["metrics"]["total_tokens"] == status["metrics"]["total_tokens"]
    block = uvicorn.log().split(f"upload {uvicorn.first}\n")[1].splitlines()[:22]
    labels, numbers = block[::2], [int(number) for number in block[1::2]]
    assert labels == [
        "Input usage", "input_cached_tokens", "input", "input_audio_tokens", "Output usage", "output_reasoning_tokens",
        "output", "output_accepted_prediction_tokens", "output_audio_tokens", "output_rejected_prediction_tokens",
        "Total usage",
    ]  # fmt: skip
    found = dict(zip(labels, numbers, strict=True))
    assert found["Total usage"] == status["metrics"]["total_tokens"]
    assert found["input"] == found["Input usage"] - found["input_cached_tokens"]
    assert found["output"] == found["Output usage"] - found["output_reasoning_tokens"]


def test_twenty_overlapping_requests_each_cost_what_was_billed_for_them(uvicorn):
    markers = {f"MARK-{kind.replace('/', '')}{number}": kind for kind in KINDS for number in range(4)}
    with ThreadPoolExecutor(20) as pool:
        asked = {
            marker: pool.submit(uvicorn.ask, kind, f"Who is Scrooge? {marker}") for marker, kind in markers.items()
        }
    for marker, answer in asked.items():
        billed = uvicorn.stub.totals(marker)
        assert billed.model_calls == {"query/data": 1, "api/generate": 1}.get(markers[marker], 2)
        (check_ollama if markers[marker].startswith("api/") else check)(answer.result(), billed)


def test_the_ways_to_upload_say_where_the_numbers_will_be(uvicorn):
    boundary = "ragmeter"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="up.txt"\r\n\r\n'
    body = f"{part}The raven sat upon the gate. MARK-up\r\n--{boundary}--\r\n".encode()
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answers = [json.loads(uvicorn.send("documents/upload", body, **kind))]
    texts = {"texts": ["The fox left the wood. MARK-a1", "The hare ran. MARK-a2"], "file_sources": ["a1", "a2"]}
    answers.append(json.loads(uvicorn.post("documents/texts", texts)))
    for answer in answers:
        uvicorn.finished(answer["track_id"])
    (uvicorn.folder / "in" / "house" / "scanned.txt").write_text("The owl was awake. MARK-scan")
    uvicorn.wait_for(lambda: not uvicorn.get("documents/pipeline_status")["busy"])
    answers.append(json.loads(uvicorn.post("documents/scan")))
    for answer in answers:
        assert answer["metrics"]["status"] == "processing", answer
        assert answer["track_id"] in answer["metrics"]["note"]
    for answer, markers in zip(answers, [["MARK-up"], ["MARK-a1", "MARK-a2"], ["MARK-scan"]], strict=True):
        uvicorn.wait_for(lambda answer=answer: uvicorn.status(answer["track_id"])["documents"])
        status = uvicorn.finished(answer["track_id"])
        wanted = Totals.of(
            bill for marker in markers for bill in uvicorn.stub.bills_for(marker) if bill.role in {"extract", "glean"}
        )
        roles = status["metrics"]["by_role"]
        assert roles["extract"]["total_tokens"] + roles["glean"]["total_tokens"] == wanted.total_tokens > 0
        documents = [document["metrics"]["total_tokens"] for document in status["documents"]]
        assert sum(documents) == status["metrics"]["total_tokens"]
        assert len(documents) == len(markers)


def test_the_openapi_document_speaks_of_metrics(uvicorn):
    document = uvicorn.get("openapi.json")
    found = document["components"]["schemas"]["RagmeterMetrics"]["properties"]
    assert set(found) == set(uvicorn.ask("query", "Who is Scrooge? MARK-described"))
    added = {
        path: operation["responses"]["200"]["content"]["application/json"]["schema"]["allOf"][1]["properties"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if "allOf"
        in operation.get("responses", {})
        .get("200", {})
        .get("content", {})
        .get("application/json", {})
        .get("schema", {})
    }
    answers = {"/query", "/query/data", "/documents/track_status/{track_id}"}
    uploads = {f"/documents/{way}" for way in ("upload", "text", "texts", "scan")}
    assert set(added) == answers | uploads
    assert all("metrics" in properties for properties in added.values())
    assert "`metrics`" in document["paths"]["/query/stream"]["post"]["responses"]["200"]["description"]


def test_headers_say_who_pays(uvicorn):
    who = {"x-ragmeter-tenant": "acme", "x-ragmeter-user": "ann", "x-ragmeter-session": "s1"}
    named = uvicorn.ask("query", "Who is Marley? MARK-named", **who)
    nobody = uvicorn.ask("query", "Who is Marley? MARK-nobody")
    assert nobody["total_tokens"] > 0
    everything = named["total_tokens"] + named["embedding_tokens"]
    with Ledger.open(uvicorn.ledger, attach=False) as ledger:

        def spent(**where):
            return sum(row["usage"]["total_tokens"] for row in ledger.usage(where=where))

        uvicorn.wait_for(lambda: spent(tenant="acme", user="ann", session="s1") == everything)
        assert spent(tenant="house") > nobody["total_tokens"]
        assert spent(tenant=None) == 0  # others are the workspace's


def test_a_request_that_fails_has_cost_what_it_cost(uvicorn):
    check(uvicorn.ask("query", "Who is Bob? MARK-refused"), uvicorn.stub.totals("MARK-refused"))  # LightRAG answers 200
    with pytest.raises(urllib.error.HTTPError) as failed:
        uvicorn.ask("query", "Who is Bob? MARK-broken", **{"x-ragmeter-session": "broken"})
    assert failed.value.code == 500
    failed.value.close()
    billed = uvicorn.stub.totals("MARK-broken")
    assert billed.model_calls == 2
    with Ledger.open(uvicorn.ledger, attach=False) as ledger:

        def spent():
            rows = ledger.usage(where={"session": "broken"})
            return rows and rows[0]["usage"]["total_tokens"] == billed.total_tokens + billed.embedding_tokens

        uvicorn.wait_for(spent)
    uvicorn.wait_for(lambda: f"\nTotal usage\n{billed.total_tokens}\n" in uvicorn.log())


def test_a_reader_who_leaves_pays_and_the_count_is_called_an_estimate(uvicorn):
    uvicorn.stub.faults.add(Fault.SLOW, match="MARK-leaves", role="query", pause=0.3)
    body = json.dumps({"query": "Who is Tim? MARK-leaves", "mode": "mix"}).encode()
    headers = {"content-type": "application/json", "x-ragmeter-session": "leaving"}
    with urllib.request.urlopen(urllib.request.Request(uvicorn.url + "query/stream", body, headers)) as answer:
        assert b"references" in answer.readline()
        assert b"response" in answer.readline()
    with Ledger.open(uvicorn.ledger, attach=False) as ledger:

        def calls():
            rows = ledger.usage(where={"session": "leaving", "operation": "chat"})
            return rows and rows[0]["calls"] == 2 and rows[0]

        row = uvicorn.wait_for(calls)
    assert (row["reported_calls"], row["estimated_calls"]) == (1, 1)


def test_the_backend_hears_of_each_question_once(uvicorn):
    metrics = uvicorn.ask("query/stream", "Who is Scrooge, and what had he for supper? MARK-event")
    del metrics["by_role"]

    def told():
        events = [event["data"]["metrics"] for event in uvicorn.backend.events if event["type"].endswith("query")]
        return [found for found in events if found == {**found, **metrics}]

    assert len(uvicorn.wait_for(told)) == 1


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory, tiktoken_files):
    command = [*RUN, "lightrag-gunicorn", "--workers", "2"]
    durability = {"RAGMETER_DURABILITY": "journal", "MAX_ASYNC": "2"}
    with Host(command, tmp_path_factory.mktemp("gunicorn"), tiktoken_files, **durability) as host:
        yield host


def workers(host):
    """Processes that run the server: its workers, and LightRAG's manager of what they share."""
    children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"lightrag-gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def threads(pid):
    """Names of the threads of a process."""
    return " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm"))


def handles(pid):
    """Files that a process has open."""
    return " ".join(str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir() if handle.is_symlink())


def test_nothing_is_opened_before_the_fork(gunicorn):
    assert "ragmeter-" not in threads(gunicorn.process.pid)
    assert "ragmeter.db" not in handles(gunicorn.process.pid)


def test_every_upload_is_right_whichever_worker_burned_or_answers(gunicorn):
    stories = {f"MARK-g{number}": text for number, text in enumerate([*TEXTS.values(), *list(TEXTS.values())[:2]])}
    with ThreadPoolExecutor(6) as pool:
        sent = {
            marker: pool.submit(gunicorn.insert, marked(text, marker), marker, **{"x-ragmeter-tenant": marker})
            for marker, text in stories.items()
        }
        questions = [pool.submit(gunicorn.ask, "query/data", f"Who is Alice? MARK-h{number}") for number in range(6)]
    tracks = {marker: track.result() for marker, track in sent.items()}
    for number, question in enumerate(questions):
        check(question.result(), gunicorn.stub.totals(f"MARK-h{number}"))
    status = {track: gunicorn.finished(track) for track in tracks.values()}
    bills = [bill for bill in gunicorn.stub.bills if not any(marker.startswith("MARK-h") for marker in bill.markers)]
    check_together(gunicorn, tracks, bills)
    # Each of many answers, of either worker, is the same.
    with ThreadPoolExecutor(6) as pool:
        for track in tracks.values():
            for again in pool.map(gunicorn.status, [track] * 6):
                assert again["metrics"] == status[track]["metrics"]
    with Ledger.open(gunicorn.ledger, attach=False) as ledger:
        for marker, track in tracks.items():
            assert [row["tenant"] for row in ledger.usage(by=["tenant"], where={"track_id": track})] == [marker]
    assert not list((gunicorn.folder / "rag" / "ragmeter-payers").iterdir())
    told = gunicorn.wait_for(lambda: len(found := gunicorn.backend.about("upload")) == 6 and found)
    for track, event in told.items():
        assert event["metrics"]["total_tokens"] == status[track]["metrics"]["total_tokens"]


def test_a_worker_that_is_killed_takes_nothing_with_it(gunicorn):
    gunicorn.stub.faults.add(Fault.SLOW, times=None, match="MARK-killed", delay=0.2)
    track = gunicorn.insert(marked("\n".join(TEXTS.values()), "MARK-killed"), "killed")

    def delivered():
        return sum(
            bill.delivered for bill in gunicorn.stub.bills_for("MARK-killed") if bill.role in {"extract", "glean"}
        )

    def acknowledged(ledger):
        return {call["id"] for call in ledger.calls({"track_id": track, "operation": "chat"})}

    gunicorn.wait_for(lambda: delivered() > 4)
    before = workers(gunicorn)
    journal = max((gunicorn.folder / "rag").glob("*-spool/*.journal"), key=lambda path: path.stat().st_mtime_ns)
    burning = int(journal.name.split("-")[1])
    assert burning in before
    os.kill(burning, signal.SIGSTOP)  # so that what the stub delivers now does not count
    billed = delivered()
    with Ledger.open(gunicorn.ledger, attach=False) as ledger:
        known = acknowledged(ledger)
    os.kill(burning, signal.SIGKILL)
    gunicorn.wait_for(lambda: len(workers(gunicorn)) == len(before) and set(workers(gunicorn)) != set(before))
    os.killpg(gunicorn.process.pid, signal.SIGKILL)  # LightRAG itself waits for locks that the dead worker held
    gunicorn.process.wait()
    with Ledger.open(gunicorn.ledger) as ledger:  # brings what the dead worker had in its journal
        ledger.flush()
        found = acknowledged(ledger)
    assert known
    assert known <= found
    at_most = 2  # answers that were on their way to the worker: MAX_ASYNC
    assert len(found) >= billed - at_most


def test_an_application_of_ones_own(tmp_path, tiktoken_files):
    command = [sys.executable, str(Path(__file__).with_name("own_app.py"))]
    with Ledger.open(f"sqlite:{tmp_path}/own.db") as ledger:  # a process that is gone, and has sent nothing
        ledger.send("webhook", "t0", "query", json.dumps({"type": "left behind"}))
    with Host(command, tmp_path, tiktoken_files, RAGMETER_LEDGER=f"sqlite:{tmp_path}/own.db") as host:
        host.wait_for(lambda: host.backend.events)  # before any call
        assert host.backend.events == [{"type": "left behind"}]
        status = host.finished(host.insert("Scrooge was the partner of Marley. MARK-own", "own"))
        check(status["metrics"], Totals.of(host.stub.bills))
        metrics = host.ask("query", "Who was Scrooge? MARK-asked", **{"X-Customer": "acme"})
        check(metrics, host.stub.totals("MARK-asked"))
        with Ledger.open(f"sqlite:{tmp_path}/own.db", attach=False) as ledger:
            calls = metrics["call_count"] + metrics["embedding_calls"]
            host.wait_for(lambda: [row["calls"] for row in ledger.usage(where={"tenant": "acme"})] == [calls])

        # What the cache spares is in the ledger as well.
        host.stub.reset()
        spared = host.finished(host.insert("Alice met the Dodo. MARK-spared", "spared"))
        paid = [bill for bill in host.stub.bills if bill.role in {"extract", "glean"}]
        gone = json.dumps({"doc_ids": [document["id"] for document in spared["documents"]]}).encode()
        host.send("documents/delete_document", gone, method="DELETE", **{"content-type": "application/json"})
        host.wait_for(lambda: not host.status(spared["track_id"])["documents"])
        host.wait_for(lambda: not host.get("documents/pipeline_status")["busy"])
        status = host.finished(host.insert("Alice met the Dodo. MARK-spared", "again"))
        for metrics in (status["metrics"], status["documents"][0]["metrics"]):
            assert (metrics["cache_hits"], metrics["saved_tokens"]) == (len(paid), Totals.of(paid).total_tokens)
            assert metrics["call_count"] == 0

        # A database that takes nothing holds up no document, and what is not in it yet is not said to be all.
        host.stub.reset()
        database = sqlite3.connect(tmp_path / "own.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        track = host.insert("The Hatter was late for tea. MARK-late", "late")
        host.wait_for(lambda: (host.status(track)["status_summary"] or {}).get("DocStatus.PROCESSED"))
        assert host.status(track)["metrics"]["status"] == "processing"
        database.execute("ROLLBACK")
        database.close()
        check(host.finished(track)["metrics"], Totals.of(host.stub.bills))
        assert host.wait_for(lambda: host.backend.about("upload").get(track))
