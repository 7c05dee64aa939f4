"""Keys are tried against a server that answers as model APIs do and as they should not: the right verdict, in time."""

import importlib.util
import itertools
import logging
import re
import socket
import time
from pathlib import Path

import pytest

from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLM, TenantLLMService, Vault
from ragmeter.tenants.reach import NotReachableError, Reach
from ragmeter.tenants.secret import Secret
from ragmeter.tenants.setup import Setup
from ragmeter.tenants.validation import Validator
from ragmeter.tenants.vault import new_key

spec = importlib.util.spec_from_file_location("bad_server", Path(__file__).with_name("bad_server.py"))
bad_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bad_server)
KEY = bad_server.KEY
TIMEOUT = 1.5


@pytest.fixture(scope="module")
def server():
    import openai.resources.chat.completions  # a second that is no provider's fault
    import openai.resources.embeddings  # noqa: F401

    server = bad_server.BadServer()
    yield server
    server.stop()


@pytest.fixture
def service(tmp_path):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        yield TenantLLMService(ledger, Vault([new_key()]))


@pytest.fixture
def setup(service):
    return Setup(service, Validator(service.catalog, TIMEOUT))


def llm(server, shape, kind, key=KEY):
    return TenantLLM("acme", "OpenAI-API-Compatible", "m", kind, Secret(key), f"{server.url}/{shape}/v1")


@pytest.mark.parametrize("kind", ["chat", "embedding"])
@pytest.mark.parametrize(
    ("shape", "key", "why"),
    [
        ("openai", KEY, None),
        ("openai", "sk-wrong-key-0123456789abcdef", "HTTP 401: the key is wrong"),
        ("slow", KEY, "did not answer in "),
        ("drip", KEY, "did not answer in|takes longer than"),
        ("html", KEY, "answers with text/html instead of JSON; is the URL that of an API?"),
        ("disguised", KEY, "no JSON"),
        ("empty", KEY, "has no|has not the form|is empty|no results|No embedding"),
        ("failing", KEY, "HTTP 503: the server failed"),
        ("limited", KEY, "HTTP 429: .*You exceeded your current quota"),
        ("missing", KEY, "HTTP 404: there is no such model, or the URL is wrong"),
        ("redirect", KEY, "redirects to .*keys are not sent elsewhere"),
        ("huge", KEY, "its answer is larger than 4,194,304 bytes"),
        ("endless", KEY, "its answer is larger than 4,194,304 bytes|takes longer"),
        ("bomb", KEY, "compressed data that nobody asked for"),
    ],
)
def test_the_verdict_is_right_and_in_time(service, server, shape, key, kind, why):  # noqa: PLR0917
    began = time.monotonic()
    verdict = Validator(service.catalog, TIMEOUT).check(llm(server, shape, kind, key))
    assert time.monotonic() - began < TIMEOUT + 4  # a busy machine; without a limit these take 20 s and more
    assert verdict.works is (why is None), verdict
    if why is not None:
        assert re.search(why, verdict.message), verdict.message
    assert key not in verdict.message
    assert "sk-echo" not in verdict.message
    assert {authorization for shape, _, authorization in server.came if shape == "good"} == set()


def test_what_the_http_libraries_log_meanwhile_names_no_key(service, server, caplog):
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "httpx"):  # which LightRAG makes quieter
        verdict = Validator(service.catalog, TIMEOUT).check(llm(server, "redirect", "chat"))
        logging.getLogger("httpx").debug("sk-somebody-elses-0123456789")
    assert "redirects to" in verdict.message
    assert "/good/v1/chat/completions?token=****" in caplog.text
    assert "sk-echo" not in caplog.text
    assert KEY not in caplog.text
    assert "sk-somebody-elses-0123456789" in caplog.text  # what is none of ours stays as it is


@pytest.mark.parametrize("shape", ["cohere", "jina"])
def test_ranks_are_tried_in_either_form(service, server, shape):
    validator = Validator(service.catalog, TIMEOUT)
    assert validator.check(llm(server, shape, "rerank")) == (True, "")
    assert "HTTP 401" in validator.check(llm(server, shape, "rerank", "wrong-key-0123456789")).message
    assert "has not the form" in validator.check(llm(server, "empty", "rerank")).message


def test_a_mute_model_and_a_closed_port_are_no_success(service, server):
    validator = Validator(service.catalog, TIMEOUT)
    assert validator.check(llm(server, "mute", "chat")).message.endswith("the answer is empty")
    unreachable = TenantLLM("acme", "VLLM", "m", "chat", Secret(KEY), "http://127.0.0.1:9/v1")
    assert "it cannot be reached" in validator.check(unreachable).message
    nonsense = TenantLLM("acme", "VLLM", "m", "chat", Secret(KEY), f"gopher://u:{KEY}@h/?key={KEY}")
    verdict = validator.check(nonsense)
    assert verdict.works is False
    assert KEY not in verdict.message


def test_set_api_key_tries_types_until_one_answers_and_saves_all(service, setup, server):
    server.came.clear()
    done = setup.set_api_key("acme", "Jina", KEY, f"{server.url}/jina/v1")
    assert done == (True, True, "success")
    assert [path for _, path, _ in server.came] == ["/jina/v1/embeddings"]
    saved = service.list("acme")
    assert {(llm.model_type, llm.verified, llm.api_key.reveal()) for llm in saved} == {
        ("embedding", True, KEY), ("rerank", True, KEY),
    }  # fmt: skip
    server.came.clear()
    wrong = setup.set_api_key("acme", "Cohere", "wrong-key-0123456789", f"{server.url}/cohere/v1")
    assert [path.rsplit("/", 1)[1] for _, path, _ in server.came] == ["embeddings", "completions", "rerank"]
    assert not wrong.saved
    assert wrong.message.count("Fail to access") == wrong.message.count("HTTP 401: the key is wrong") == 3
    assert "wrong-key" not in wrong.message
    assert {llm.llm_factory for llm in service.list("acme")} == {"Jina"}
    assert setup.set_api_key("acme", "PaddleOCR", KEY) == (
        True, False, "saved, unverified: none of its models could be tried",
    )  # fmt: skip
    assert not service.get("acme", "PaddleOCR", "paddleocr", "ocr").verified
    with pytest.raises(LookupError, match="VLLM has no models in the catalog: add_llm adds one"):
        setup.set_api_key("acme", "VLLM", KEY)
    with pytest.raises(LookupError, match="there is no 'Nobody'"):
        setup.add_llm("acme", "Nobody", "m", "chat", KEY)


def test_add_llm_tries_the_one_model(service, setup, server):
    url = f"{server.url}/openai/v1"
    assert setup.add_llm("acme", "VLLM", "mine", "chat", KEY, api_base=url, max_tokens=4096) == (True, True, "success")
    assert setup.add_llm("acme", "VLLM", "other", "chat", "wrong-key-0123", api_base=url).message.startswith(
        "Fail to access chat model other of VLLM: HTTP 401"
    )
    assert not setup.add_llm("acme", "VLLM", "voice", "tts", KEY, api_base=url).verified
    assert {(llm.llm_name, llm.max_tokens) for llm in service.list("acme")} == {
        ("mine___VLLM", 4096), ("voice___VLLM", 8192),
    }  # fmt: skip


def test_what_a_try_costs_is_paid_by_the_tenant(service, setup, server):
    setup.add_llm("acme", "VLLM", "mine", "chat", KEY, api_base=f"{server.url}/openai/v1")
    assert service.ledger.flush(20)
    (call,) = service.ledger.calls()
    assert (call["labels"]["tenant"], call["labels"]["role"], call["usage"]["total_tokens"]) == (
        "acme",
        "validation",
        7,
    )


def test_no_key_is_in_the_logs_whatever_is_logged(service, setup, server, caplog):
    with caplog.at_level(logging.DEBUG):
        for shape in ("openai", "html", "limited", "disguised"):
            for key in (KEY, "sk-wrong-key-0123456789abcdef"):
                setup.set_api_key("acme", "OpenAI", key, f"{server.url}/{shape}/v1")
    assert caplog.records
    for key in (KEY, "sk-wrong-key-0123456789abcdef"):
        assert key not in caplog.text


INSIDE = [
    "http://127.0.0.1:{port}/openai/v1",
    "http://localhost:{port}/openai/v1",
    "http://[::1]:{port}/openai/v1",
    "http://[::ffff:127.0.0.1]:{port}/openai/v1",
    "http://[64:ff9b::7f00:1]:{port}/openai/v1",
    "http://2130706433:{port}/openai/v1",
    "http://0:{port}/openai/v1",
    "http://169.254.169.254/latest/meta-data",
    "http://168.63.129.16/metadata",
    "http://10.0.0.1/v1",
    "http://192.168.0.1/v1",
    "http://100.100.100.200/latest/meta-data",
    "http://[fd00:ec2::254]/v1",
    "http://[::7f00:1]:{port}/openai/v1",
    "http://[fec0::1]/v1",
    "http://[64:ff9b:1::a00:1]/v1",
]


def test_a_strangers_url_leads_nowhere_inside(service, server, monkeypatch):
    monkeypatch.delenv("RAGMETER_ALLOW_NETWORKS")
    validator, before = Validator(service.catalog, TIMEOUT), len(server.came)
    for url, kind in zip(INSIDE, itertools.cycle(["chat", "embedding", "rerank"]), strict=False):
        model = TenantLLM("acme", "VLLM", "m", kind, Secret(KEY), url.format(port=server.server_port))
        verdict = validator.check(model)
        assert verdict.works is False
        assert "is no public address" in verdict.message, (url, verdict.message)
    assert len(server.came) == before
    assert validator.check(llm(server, "openai", "chat"), trusted=True).works, "he who runs the server may"
    stranger, inside = Setup(service, validator), "http://169.254.169.254/v1"
    for done in (
        stranger.add_llm("acme", "VLLM", "voice", "tts", KEY, api_base=inside),
        stranger.set_api_key("acme", "PaddleOCR", KEY, inside),
        stranger.add_llm("acme", "Fish Audio", "voice", "tts", KEY, api_base="http://nowhere.invalid/v1"),
    ):
        assert not done.saved, "what cannot be tried is not saved either"
        assert re.search("is no public address|cannot be reached", done.message), done.message
    assert service.list("acme") == []
    assert Setup(service, validator, trusted=True).add_llm("acme", "VLLM", "v", "tts", KEY, api_base=inside).saved


def test_the_address_that_was_looked_at_is_the_one_that_is_called(service, server, monkeypatch):
    """A name that leads elsewhere when it is asked again."""
    asked, own = [], socket.getaddrinfo

    def lookup(host, port, *args, **kwargs):
        if host != "api.stranger.test":
            return own(host, port, *args, **kwargs)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    model = TenantLLM(
        "acme", "VLLM", "m", "chat", Secret(KEY), f"http://api.stranger.test:{server.server_port}/openai/v1"
    )
    assert Validator(service.catalog, TIMEOUT).check(model) == (True, "")
    assert len(asked) == 1
    assert "127.0.0.2" in Validator(service.catalog, TIMEOUT, Reach(["127.0.0.1"])).check(model).message
    turns = [(None, None, None, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    with pytest.raises(NotReachableError, match=r"a\.test \(10\.0\.0\.1\) is no public address"):
        Reach([]).choose("a.test", turns)
    assert Reach([]).choose("a.test", turns[:1]) == "8.8.8.8"
