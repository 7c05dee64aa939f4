"""A key is nowhere in plain: not in the database, its files, the journal, logs at debug level, errors or answers."""

import base64
import io
import json
import logging
import pickle
import traceback
import urllib.parse

import pytest
from starlette.testclient import TestClient

import ragmeter
from ragmeter.api import create_app
from ragmeter.cli import main
from ragmeter.ledger import Ledger
from ragmeter.tenants import LLMBundle, TenantLLMService, Vault
from ragmeter.tenants.keys import FORMS
from ragmeter.tenants.validation import Validator
from ragmeter.tenants.vault import new_key
from ragmeter.testing import Fault, StubServer

KEY = 'sk-Q"7plaintext\\key-0123456789'
WRONG = "sk-wrongplaintextkey-9876543210"
TABLES = ("tenants", "tenant_llm", "tokens", "factories", "models", "calls", "labels", "outbox", "marks")


def spellings(key):
    """The ways in which a key may stand in a file."""
    data = key.encode()
    yield from (data, json.dumps(key)[1:-1].encode(), repr(key)[1:-1].encode(), urllib.parse.quote(key).encode())
    yield from (data.hex().encode(), data.hex().upper().encode(), data[::-1], key.encode("utf-16-le"))
    for shift in range(3):  # base64 of a text that holds it somewhere
        yield base64.b64encode(b"." * shift + data)[4:-4]
    yield data[4:20]


def assert_nowhere(content, where):
    for key in (KEY, WRONG):
        for spelling in spellings(key):
            assert spelling not in content, f"{spelling!r} in {where}"


@pytest.fixture
def log():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def ask(service, answers):
    """Everything over HTTP that takes or shows a key."""
    token = service.tokens.make("acme")[1].reveal()
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(service, validator=Validator(service.catalog, 5), tries_a_minute=100)) as client:

        def send(method, path, **kwargs):
            answer = client.request(method, path, headers=headers, **kwargs)
            answers.append(answer.content + repr(answer.headers).encode())

        with StubServer(api_key=KEY) as server:
            for key in (KEY, WRONG):
                body = {"llm_factory": "OpenAI", "api_key": key, "base_url": server.base_url}
                send("POST", "/v1/llm/set_api_key", json=body)
                send("POST", "/v1/llm/set_api_key", json={**body, "base_url": 7})
                send("POST", "/v1/llm/set_api_key", content=json.dumps(body)[:-1])
                custom = {**body, "llm_name": "m", "model_type": "chat", "api_base": f"{server.url}/?key={key}"}
                send("POST", "/v1/llm/add_llm", json=custom)
            for factory, kind in FORMS:
                parts = dict.fromkeys(FORMS[factory, kind], KEY)
                whole = {"llm_factory": factory, "llm_name": "m", "model_type": kind or "ocr", "api_key": KEY, **parts}
                send("POST", "/v1/llm/add_llm", json=whole)
        service.create("acme", "VLLM", "kept", "chat", api_key=KEY, api_base="http://127.0.0.1:9/v1")
        for path in ("/v1/llm/my_llms?include_details=true", "/v1/llm/list", "/v1/llm/factories"):
            send("GET", path)
        for path in ("usage", "calls", "quotas", "tokens"):
            send("GET", f"/api/v1/tenants/acme/{path}")
    return token


def errors(service):
    """The texts of what goes wrong with a key at hand, with everything that a traceback shows."""
    llm = service.get_api_key("acme", "kept@VLLM")
    attempts = [
        lambda: service.create("acme", "VLLM", "kept", "chat", api_key=KEY),
        lambda: service.create("acme", "VLLM", "\0", "chat", api_key=KEY),
        lambda: TenantLLMService(service.ledger, Vault([new_key()])).list("acme"),
        lambda: service.update(llm, api_key=KEY, nothing=1),
        lambda: pickle.dumps(llm),
        lambda: LLMBundle("acme", "tts", "kept", service=service),
        lambda: service.increase_usage("acme", "chat", -1, "kept"),
    ]
    for number, attempt in enumerate(attempts):
        try:
            attempt()
        except Exception as exc:  # noqa: BLE001 - each of them is to be looked at
            text = traceback.TracebackException.from_exception(exc, capture_locals=False)
            yield "".join(text.format()) + repr(exc) + repr(exc.args)
        else:
            pytest.fail(f"attempt {number} did not fail")
    yield f"{llm!r} {llm} {llm.as_dict()} {vars(llm)} {service!r} {service.vault!r}"


async def test_a_key_is_nowhere_in_plain(database, tmp_path, log, capsys):
    answers = []
    with Ledger.open(database, journal=tmp_path / "journal", durability="journal") as ledger:
        service = TenantLLMService(ledger, Vault([new_key()]))
        service.create_tenant("acme")
        token = ask(service, answers)
        with StubServer(api_key=WRONG) as server:
            service.create("acme", "VLLM", "asked", "chat", api_key=WRONG, api_base=server.base_url)
            service.create("acme", "VLLM", "refused", "chat", api_key="sk-other-0123456789", api_base=server.base_url)
            ragmeter.instrument("openai")
            async with LLMBundle("acme", "chat", "asked", service=service) as bundle:
                await bundle.async_chat("s", [{"role": "user", "content": "hello"}])
                server.faults.add(Fault.SERVER_ERROR, times=None)
                with pytest.raises(Exception, match="500"):
                    await bundle.async_chat("s", [{"role": "user", "content": "hello"}])
                answers.append(repr(bundle).encode())
        answers += [text.encode() for text in errors(service)]
        service.rotate()
        main(["tenant", "usage", "acme", "--ledger", database])
        ledger.flush(20)
        for table in TABLES:
            assert_nowhere(repr(ledger.select(f"SELECT * FROM ragmeter_{table}")).encode(), table)
            assert token not in repr(ledger.select(f"SELECT * FROM ragmeter_{table}"))
        keys = [llm.api_key.reveal() for llm in service.list("acme")]
        assert sum(KEY in key or json.dumps(KEY)[1:-1] in key for key in keys) > len(FORMS)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        for path in files:
            assert_nowhere(path.read_bytes(), path.name)
        assert files
    said = capsys.readouterr()
    assert_nowhere((said.out + said.err).encode(), "what was printed")
    assert len(answers) > 30
    for answer in answers:
        assert_nowhere(answer, answer.decode(errors="replace"))
    assert "HTTP Request" in log.getvalue()
    assert_nowhere(log.getvalue().encode(), "the log")
