"""The HTTP API: RAGFlow's envelope and words, limits, and what a stranger may send."""

import json
import logging
import subprocess
import sys
import urllib.request

import pytest
from starlette.testclient import TestClient

from ragmeter.api import create_app
from ragmeter.cli import main
from ragmeter.tenants.validation import Verdict

KEY = "sk-plain-0123456789-SECRET"


class No:
    def __init__(self, message="it did not answer"):
        self.message = message

    def check(self, llm, *, trusted=False):
        return Verdict(False, f"{self.message} {llm.api_key.reveal()}")


@pytest.fixture
def own(tokens):
    return {"Authorization": f"Bearer {tokens['own']}"}


def test_set_api_key_and_its_failures_speak_as_ragflow_does(client, service, own):
    answer = client.post("/api/v1/llm/set_api_key", headers=own, json={"llm_factory": "OpenAI", "api_key": KEY})
    assert answer.json() == {"code": 0, "message": "success", "data": True}
    assert len(service.list("mine")) == len(service.catalog.models("OpenAI")) + 1
    missing = client.post("/api/v1/llm/set_api_key", headers=own, json={})
    assert missing.json() == {
        "code": 101,
        "message": "required argument are missing: llm_factory,api_key; ",
        "data": None,
    }
    unknown = client.post("/v1/llm/set_api_key", headers=own, json={"llm_factory": "Nobody", "api_key": KEY})
    assert unknown.json()["code"] == 102
    with TestClient(create_app(service, validator=No())) as strict:
        failed = strict.post("/v1/llm/set_api_key", headers=own, json={"llm_factory": "Jina", "api_key": KEY})
    assert failed.status_code == 200
    assert failed.json()["code"] == 102
    assert failed.json()["message"].startswith("\nFail to access it did not answer ****")
    assert KEY not in failed.text


def test_add_llm_builds_the_keys_of_every_factory(client, service, own):
    body = {"llm_factory": "Bedrock", "llm_name": "claude", "model_type": "chat", "auth_mode": "access_key",
            "bedrock_ak": "AK0123456789", "bedrock_sk": KEY, "bedrock_region": "us-east-1"}  # fmt: skip
    assert client.post("/v1/llm/add_llm", headers=own, json=body).json()["code"] == 0
    stored = json.loads(service.get("mine", "Bedrock", "claude", "chat").api_key.reveal())
    assert stored == {"auth_mode": "access_key", "bedrock_ak": "AK0123456789", "bedrock_sk": KEY,
                      "bedrock_region": "us-east-1", "aws_role_arn": ""}  # fmt: skip
    local = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "my-local-model___OpenAI-API", "model_type": "chat",
             "api_key": "x", "api_base": "http://localhost:8000/v1", "max_tokens": 4096}  # fmt: skip
    assert client.post("/api/v1/llm/add_llm", headers=own, json=local).json()["code"] == 0
    llm = service.get_api_key("mine", "my-local-model@OpenAI-API-Compatible")
    assert (llm.max_tokens, llm.api_base, llm.api_key.reveal()) == (4096, "http://localhost:8000/v1", "x")
    details = client.get("/v1/llm/my_llms", params={"include_details": True}, headers=own)
    assert KEY not in details.text
    for wrong, says in [({"model_type": "video"}, "model_type is one of"), ({"llm_factory": "BaiduYiyan"}, "yiyan_ak")]:
        answer = client.post("/v1/llm/add_llm", headers=own, json={**body, **wrong}).json()
        assert answer["code"] == 101
        assert says in answer["message"]


def test_factories_are_listed_with_their_types(client, own):
    found = client.get("/api/v1/llm/factories", headers=own).json()["data"]
    openai = next(factory for factory in found if factory["name"] == "OpenAI")
    assert openai["model_types"] == ["chat", "embedding", "image2text", "speech2text", "tts"]
    for kind, count in [("", 1), ("chat", 1), ("vision", 0)]:
        listed = client.get("/v1/llm/list", params={"model_type": kind}, headers=own).json()["data"]
        assert len(listed) == count
    assert client.get("/v1/llm/list", params={"model_type": "video"}, headers=own).json()["code"] == 101
    assert (openai["status"], openai["tags"]) == ("1", "LLM,TEXT EMBEDDING,TTS,SPEECH2TEXT")


def test_keys_are_tried_so_often_and_no_more(service, tokens):
    with TestClient(create_app(service, validator=No(), tries_a_minute=3)) as client:

        def attempt(token):
            body = {"llm_factory": "Jina", "api_key": KEY}
            params = {"tenant_id": "mine"} if token == "superuser" else None
            headers = {"Authorization": f"Bearer {tokens[token]}"}
            return client.post("/v1/llm/set_api_key", headers=headers, json=body, params=params)

        assert [attempt("own").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert 1 <= int(attempt("superuser").headers["retry-after"]) <= 21
        assert attempt("other").status_code == 200  # another tenant's tries are his own


def test_wrong_bodies_are_said_without_repeating_them(client, own, caplog):
    with caplog.at_level(logging.DEBUG):
        for body in (
            {"llm_factory": 7, "api_key": KEY}, {"llm_factory": "x" * 200, "api_key": KEY},
            {"llm_factory": "OpenAI", "api_key": [KEY]}, {"llm_factory": "O\u0000", "api_key": KEY},
            {"llm_factory": "OpenAI", "api_key": KEY, "base_url": f"javascript:{KEY}"}, [KEY], KEY,
        ):  # fmt: skip
            answer = client.post("/v1/llm/set_api_key", headers=own, json=body)
            assert answer.json()["code"] == 101, answer.text
            assert KEY not in answer.text
        own = {**own, "Content-Type": "application/json"}
        broken = client.post("/v1/llm/set_api_key", headers=own, content=b'{"api_key": "' + KEY.encode())
        assert (broken.status_code, broken.json()["code"]) == (400, 101)
        lone = client.post("/v1/llm/set_api_key", headers=own, content=b'{"llm_factory": "\\ud800", "api_key": "k"}')
        assert lone.json()["code"] == 101
        large = client.post("/v1/llm/set_api_key", headers=own, content=b" " * (2 << 20))
        assert (large.status_code, large.json()["code"]) == (413, 101)
        assert client.get("/api/v1/nowhere", headers=own).json()["code"] == 404
    assert KEY not in caplog.text


def test_usage_is_asked_for_by_label_and_time(client, service, own):
    whole = client.get("/api/v1/tenants/mine/usage", headers=own).json()["data"]
    assert whole["used_tokens"] == 42
    rows = client.get("/api/v1/tenants/mine/usage", params={"by": "user", "since": "1h"}, headers=own).json()["data"]
    assert {row["user"]: row["calls"] for row in rows} == {"user-of-mine": 1, None: 1}
    for since in ("99999d", "999999999d", "1960-01-01", "0001-01-01"):
        answer = client.get("/api/v1/tenants/mine/calls", params={"since": since}, headers=own)
        assert len(answer.json()["data"]["calls"]) == 2
    for params in ({"by": "tenant"}, {"since": "yesterday"}, {"bucket": "year"}):
        assert client.get("/api/v1/tenants/mine/usage", params=params, headers=own).json()["code"] == 101


def test_a_database_that_is_gone_is_said_and_tells_nothing(client, service, own, monkeypatch):
    from ragmeter import LedgerError

    def down(*_):
        exc = LedgerError("postgresql://u:hunter2@db: no connection")
        exc.kind = "unavailable"
        raise exc

    monkeypatch.setattr(type(service.ledger), "select", down)
    answer = client.get("/api/v1/tenants", headers=own)
    assert answer.status_code == 503
    assert "hunter2" not in answer.text


def test_the_server_starts_without_configuration_and_prints_a_first_token(tmp_path):
    command = [sys.executable, "-m", "ragmeter", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        token = next(line for line in process.stdout if line.startswith("token")).split()[1]
        line = next(line for line in process.stderr if "running on" in line)
        url = line.split("running on ")[1].split()[0]
        request = urllib.request.Request(f"{url}/api/v1/tenants", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer) == {"code": 0, "message": "success", "data": []}
        assert token.encode() not in (tmp_path / "ragmeter.db").read_bytes()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_openapi_document_is_printed(tmp_path, capsys):
    assert main(["serve", "--ledger", f"sqlite:{tmp_path}/l.db", "--openapi"]) == 0
    assert "/api/v1/llm/set_api_key" in json.loads(capsys.readouterr().out)["paths"]
