"""Usage reaches a backend that fails in every way, exactly once by id, in order for each subject, and signed."""

import asyncio
import json
import logging
import os
import socket
import ssl
import subprocess
import sys

import pytest
import standardwebhooks

import ragmeter
from ragmeter import Ledger, Usage
from ragmeter.cli import main
from ragmeter.export import webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FAST = {"timeout": 0.5, "first_wait": 0.05, "most_wait": 0.2}


@pytest.fixture
def ledger(database, tmp_path):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        yield ledger


def test_a_receiver_that_fails_in_every_way_gets_each_event_once_by_id(ledger, receiver):
    receiver.faults = [500, "time out", "cut", "wait", "take and cut", 503, "take", 404, "cut", 401]
    sender = webhook.start_sender(ledger, [("webhook", receiver.url + "/hook", None, SECRET)], **FAST)
    sent = [
        ledger.send("webhook", f"track {number % 3}", "query", json.dumps({"n": number, "text": "ü"}))
        for number in range(15)
    ]
    assert ledger.flush(10)
    receiver.wait_for(lambda: len(ledger.letters("sent")) == 15)
    sender.stop()
    assert set(receiver.ids(receiver.taken)) == set(sent)
    lost_answers = 1  # taken, but the answer was cut off: the receiver knows the repeat by its id
    assert len(receiver.taken) == 15 + lost_answers
    assert len(receiver.ids(receiver.taken)) - len(set(receiver.ids(receiver.taken))) == lost_answers
    for track in range(3):
        numbers = [json.loads(body)["n"] for _, body, *_ in receiver.taken if json.loads(body)["n"] % 3 == track]
        assert sorted(numbers) == numbers
    verifier = standardwebhooks.Webhook(SECRET)
    for headers, body, path, _ in receiver.came:
        assert verifier.verify(body, {name.lower(): text for name, text in headers.items()})
        lower = {name.lower(): text for name, text in headers.items()}
        assert (lower["ce-id"], lower["ce-source"], lower["ce-specversion"]) == (lower["webhook-id"], "ragmeter", "1.0")
        assert path == "/hook"
    asked_to_wait = receiver.ids(receiver.came)[3]
    _, at_first, again, *_ = [0, *(m[3] for m in receiver.came[3:] if receiver.ids([m]) == [asked_to_wait])]
    assert again - at_first > 0.99  # Retry-After was honoured
    assert receiver.came[4][3] - receiver.came[3][3] > 0.99  # for the others too
    assert ledger.health()["sent"] == 15


def test_what_cannot_heal_is_given_up_and_kept_for_a_decision(tmp_path, receiver, caplog, capsys):
    url = f"sqlite:{tmp_path}/ledger.db"
    ledger = Ledger.open(url)
    receiver.faults = [422, 410]
    sender = webhook.start_sender(ledger, [("webhook", receiver.url, None, None)], **FAST)
    with caplog.at_level(logging.ERROR, "ragmeter"):
        first, second = (ledger.send("webhook", subject, "query", "{}") for subject in "ab")
        assert ledger.flush(10)
        receiver.wait_for(lambda: len(ledger.letters("dead")) == 2)
    assert "was given up (HTTP 422)" in caplog.text
    assert main(["outbox", "list", "--ledger", url]) == 0
    page = capsys.readouterr().out
    assert first in page
    assert "HTTP 422" in page
    assert second in page
    assert main(["outbox", "drop", second, "--ledger", url]) == 0
    assert main(["outbox", "drop", second, "--ledger", url]) == 1
    assert main(["outbox", "retry", "--all", "--ledger", url]) == 0
    receiver.wait_for(lambda: len(ledger.letters("sent")) == 1)
    assert receiver.ids(receiver.taken) == [first]
    sender.stop()
    ledger.close()


def test_an_event_is_given_up_after_its_time_but_not_untried(tmp_path, receiver):
    ledger = Ledger.open(f"sqlite:{tmp_path}/ledger.db")
    receiver.faults = [500] * 1000
    sender = webhook.start_sender(ledger, [("webhook", receiver.url, None, None)], **FAST, give_up=0.0)
    ledger.send("webhook", "a", "query", "{}")
    receiver.wait_for(lambda: ledger.letters("dead") if ledger.flush(5) else False)
    assert ledger.letters("dead")[0]["attempts"] == 12
    sender.stop()
    ledger.close()


def test_thousands_that_wait_do_not_hold_up_the_one_that_is_due(ledger, receiver, tamper):
    for number in range(5000):
        ledger.send("webhook", f"track {number}", "query", "{}")
    ledger.send("webhook", "track 1", "later", "{}")  # due, but not before the one about the same
    assert ledger.flush(20)
    tamper(
        ledger.url,
        "UPDATE ragmeter_outbox SET next_at = 9000000000000000 WHERE subject <> 'track 4000' AND kind <> 'later'",
    )
    sender = webhook.start_sender(ledger, [("webhook", receiver.url, None, None)], **FAST)
    receiver.wait_for(lambda: receiver.taken)
    sender.stop()
    assert [headers["ce-subject"] for headers, *_ in receiver.taken] == ["track%204000"]


def test_a_receiver_that_hangs_does_not_hold_up_another(tmp_path, receiver):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger, socket.create_server(("127.0.0.1", 0)) as deaf:
        there = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        sender = webhook.start_sender(ledger, [("deaf", there, None, None), ("webhook", receiver.url, None, None)])
        for number in range(10):
            ledger.send("deaf", f"s{number}", "query", "{}")
            ledger.send("webhook", f"s{number}", "query", "{}")
        receiver.wait_for(lambda: len(receiver.taken) == 10, 10)
        sender.stop()


def test_an_authority_of_one_s_own_is_trusted_where_the_environment_names_it(tmp_path, receiver, monkeypatch):
    pem, key = tmp_path / "own.pem", tmp_path / "own.key"
    openssl = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", pem,
    ]  # fmt: skip
    subprocess.run(openssl, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("RAGMETER_WEBHOOK_URL", f"https://localhost:{receiver.server_port}/")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert not asyncio.run(webhook.send_query_metrics("q", METRICS))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert asyncio.run(webhook.send_query_metrics("q", METRICS))


def test_two_senders_do_not_send_twice(tmp_path, receiver):
    url = f"sqlite:{tmp_path}/ledger.db"
    books = [Ledger.open(url, journal=tmp_path / name) for name in "ab"]
    senders = [webhook.start_sender(book, [("webhook", receiver.url, None, None)], **FAST) for book in books]
    sent = [books[0].send("webhook", f"s{number}", "query", "{}") for number in range(60)]
    assert books[0].flush(10)
    receiver.wait_for(lambda: len(books[0].letters("sent")) == 60)
    assert sorted(receiver.ids(receiver.came)) == sorted(sent)
    for sender, book in zip(senders, books, strict=True):
        sender.stop()
        book.close()


@pytest.mark.parametrize("forks", [False, True])
def test_what_a_process_left_behind_is_sent_by_the_next_one_from_its_first_call_on(tmp_path, receiver, forks):
    url = f"sqlite:{tmp_path}/ledger.db"
    crash = (
        "import os, sys, ragmeter\n"
        "ledger = ragmeter.Ledger.open(sys.argv[1])\n"
        "print(ledger.send('webhook', 'upload 1', 'upload', '{}'))\n"
        "sys.stdout.flush()\n"
        "ledger.flush(20)\n"
        "os._exit(9)\n"
    )
    left = subprocess.run([sys.executable, "-c", crash, url], capture_output=True, text=True, check=False)
    assert left.returncode == 9
    next_one = (
        "import os, sys, time, ragmeter\n"
        "ledger = ragmeter.Ledger.open(sys.argv[1])\n"
        "assert len(os.listdir('/proc/self/task')) == 1, 'a server may still fork its workers'\n"
        "if sys.argv[2] == 'True' and os.fork():\n"
        "    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "ragmeter.record_tokens(1, 1, 'm')\n"
        "deadline = time.monotonic() + 30\n"
        "while not ledger.letters('sent') and time.monotonic() < deadline: time.sleep(0.05)\n"
        "ledger.close()\n"
        "sys.exit(ledger.health()['sent'] != 1)\n"
    )
    environment = {**os.environ, "RAGMETER_WEBHOOK_URL": receiver.url, "RAGMETER_WEBHOOK_SECRET": SECRET}
    subprocess.run([sys.executable, "-c", next_one, url, str(forks)], env=environment, timeout=60, check=True)
    assert receiver.ids(receiver.came) == [left.stdout.strip()]


METRICS = {
    "prompt_tokens": 7648, "completion_tokens": 7831, "total_tokens": 15479, "cached_tokens": 5632,
    "input_cached_tokens": 5632, "input_audio_tokens": 0, "output_reasoning_tokens": 6528, "output_audio_tokens": 0,
    "output_accepted_prediction_tokens": 0, "output_rejected_prediction_tokens": 0, "call_count": 2,
    "model": "gpt-5-mini-2025-08-07",
}  # fmt: skip
DERIVED = {"input_usage": 7648, "input": 2016, "output_usage": 7831, "output": 1303, "total_usage": 15479}


@pytest.fixture
def biznder(receiver, monkeypatch):
    monkeypatch.setenv("BIZNDER_API_BASE_URL", receiver.url + "/")
    monkeypatch.setenv("BIZNDER_SERVICE_TOKEN", "service-token")
    return receiver


async def test_sending_by_hand_posts_the_payload_of_the_backend(biznder):
    assert await webhook.send_upload_metrics("upload_1", METRICS)
    ((headers, body, path, _),) = biznder.came
    assert path == "/api/v1/webhooks/knowledge/metrics"
    assert {name.lower(): text for name, text in headers.items()}["authorization"] == "Bearer service-token"
    assert json.loads(body) == {"track_id": "upload_1", "metrics": {**METRICS, **DERIVED}}
    biznder.faults = [500]
    assert not await webhook.send_query_metrics("q1", METRICS)


async def test_with_a_ledger_it_goes_through_the_outbox(biznder, tmp_path):
    biznder.faults = [500]
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        assert await webhook.send_metrics_to_backend("q2", METRICS, "query")
        biznder.wait_for(lambda: len(biznder.taken) == 1 and ledger.letters("sent"))
        assert json.loads(biznder.taken[0][1])["metrics"] == {**METRICS, **DERIVED}
        webhook.start_sender(ledger).stop()


async def test_without_a_backend_it_is_said_once_and_nothing_happens(monkeypatch, caplog):
    for name in ["BIZNDER_API_BASE_URL", "BIZNDER_SERVICE_TOKEN", "RAGMETER_WEBHOOK_URL"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webhook, "_said", set())
    for _ in range(3):
        assert not await webhook.send_metrics_to_backend("t", METRICS)
    assert caplog.text.count("no backend is configured") == 1


def test_prometheus_text_has_totals_and_health(tmp_path):
    from ragmeter.export.prometheus import Totals

    totals = Totals(labels=["model", "tenant"])
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db"):
        ragmeter.record(Usage(input_tokens=5, output_tokens=2), model='a"b\\', tenant="t\n", document="d1")
        text = totals.text()
    assert list(totals._run.by("document")) == [None]  # what it does not show is not kept
    totals.close()
    ragmeter.record_tokens(1, 1, "later")
    labels = 'model="a\\"b\\\\",tenant="t\\n"'
    assert f'ragmeter_calls_total{{{labels},origin="reported"}} 1\n' in text
    assert f'ragmeter_usage_total{{{labels},unit="input_tokens"}} 5\n' in text
    assert 'ragmeter_ledger_total{what="heard"} 1\n' in text
    assert "later" not in totals.text()
    assert all(line.startswith("#") or line.rsplit(" ", 1)[1].isdigit() for line in text.splitlines())
