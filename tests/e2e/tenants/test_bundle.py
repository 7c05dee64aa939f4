"""A tenant's models against a server that knows what it billed: the ledger equals the bill, whoever was watching."""

import asyncio
import io
import wave

import pytest

import ragmeter
from ragmeter.ledger import Ledger
from ragmeter.tenants import LLMBundle, Reach, TenantLLMService, Vault
from ragmeter.tenants.reach import NotReachableError
from ragmeter.tenants.vault import new_key
from ragmeter.testing import Fault, StubServer

KEY = "sk-right-key-0123456789"


@pytest.fixture
async def open_bundle(service):
    """Opens bundles that are closed after the test."""
    bundles = []

    def open_one(*args, **kwargs):
        bundles.append(LLMBundle(*args, service=service, **kwargs))
        return bundles[-1]

    yield open_one
    for bundle in bundles:
        await bundle.__aexit__()


HISTORY = [{"role": "user", "content": "Who was Scrooge's partner?"}]


@pytest.fixture
def server():
    with StubServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def service(tmp_path, server):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        service = TenantLLMService(ledger, Vault([new_key()]))
        for name, kind in [("gpt", "chat"), ("gpt", "image2text"), ("embed", "embedding"), ("rank", "rerank")]:
            service.create("acme", "VLLM", name, kind, api_key=KEY, api_base=server.base_url)
        yield service


@pytest.fixture(params=["alone", "observed"])
def watched(request):
    if request.param == "observed":
        ragmeter.instrument("openai")
    return request.param


def spent(service, **where):
    assert service.ledger.flush(20)
    return [
        {**call["labels"], **call["usage"]}
        for call in service.ledger.calls(where={"tenant": "acme", **where})
    ]  # fmt: skip


async def test_every_call_of_a_tenant_is_recorded_once_under_his_names(service, server, watched, open_bundle):
    chat = open_bundle("acme", "chat", "gpt@VLLM")
    with ragmeter.run(tenant="somebody else") as run:
        text = await chat.async_chat("Be brief.", HISTORY, {"temperature": 0.1})
        pieces = [piece async for piece in chat.async_chat_streamly("Be brief.", HISTORY)]
        deltas = [piece async for piece in chat.async_chat_streamly_delta("Be brief.", HISTORY)]
        vectors, used = open_bundle("acme", "embedding", "embed").encode(["a b c", "d"])
        _, one = open_bundle("acme", "embedding", "embed").encode_queries("a b c")
        scores, ranked = open_bundle("acme", "rerank", "rank").similarity("a b", ["b c", "zzz"])
        seen = open_bundle("acme", "vision", "gpt").describe_with_prompt(b"\x89PNG....", "What?")
    assert text
    assert pieces[-1] == "".join(deltas) == text
    assert seen
    assert (len(vectors), len(scores)) == (2, 2)
    calls = spent(service)
    assert len(calls) == len(server.bills) == run.calls == 7
    assert [call["total_tokens"] for call in calls] == [bill.total_tokens for bill in server.bills]
    assert [used, one, ranked] == [bill.total_tokens for bill in server.bills[3:6]]
    assert {call["origin"] for call in calls} == {"reported"}
    assert {call["provider"] for call in calls} == {"vllm"}
    assert [call["model"] for call in calls] == ["gpt"] * 3 + ["embed"] * 2 + ["rank", "gpt"]
    billed = dict.fromkeys(("chat", "image2text", "embedding", "rerank"), 0)
    kinds = ["chat"] * 3 + ["embedding"] * 2 + ["rerank", "image2text"]
    for kind, bill in zip(kinds, server.bills, strict=True):
        billed[kind] += bill.total_tokens
    assert {llm.model_type: llm.used_tokens for llm in service.list("acme")} == billed
    assert service.unconfigured("acme") == []


async def test_what_the_provider_does_not_say_is_estimated(service, server, watched, open_bundle):
    server.faults.add(Fault.NO_USAGE, times=None)
    chat = open_bundle("acme", "chat", "gpt")
    await chat.async_chat(None, HISTORY)
    _ = [piece async for piece in chat.async_chat_streamly(None, HISTORY)]
    _, used = open_bundle("acme", "embedding", "embed").encode(["a b c"])
    calls = spent(service)
    assert [call["origin"] for call in calls] == ["estimated"] * 3
    assert all(call["input_tokens"] > 0 for call in calls)
    assert calls[2]["total_tokens"] == used == 3


async def test_the_limit_of_a_model_holds_where_a_quota_is_given(service, server, watched, tmp_path):
    quota = ragmeter.Quota.open(f"sqlite:{tmp_path}/ledger.db")
    service.update(service.get("acme", "VLLM", "gpt___VLLM", "chat"), quota=2000)
    calls = 0
    async with LLMBundle("acme", "chat", "gpt", service=service, quota=quota) as chat:
        with pytest.raises(ragmeter.QuotaExceeded, match="gpt@VLLM"):
            while calls < 2000:
                await chat.async_chat(None, HISTORY, {"max_tokens": 500})
                calls += 1
        assert 0 < calls == len(server.bills)
        with pytest.raises(ragmeter.QuotaExceeded):
            _ = [piece async for piece in chat.async_chat_streamly(None, HISTORY, {"max_tokens": 500})]
    assert len(server.bills) == calls
    standing = quota.usage(tenant="acme", model="gpt", operation="chat")[0]
    assert (standing["used"], standing["reserved"]) == (sum(bill.total_tokens for bill in server.bills), 0)
    assert len(spent(service)) == calls


def test_the_limit_of_a_model_holds_for_whoever_calls_it(service, server):
    import openai

    ragmeter.instrument("openai")
    service.update(service.get("acme", "VLLM", "gpt___VLLM", "chat"), quota=1000)
    ask = {"model": "gpt", "messages": HISTORY, "max_tokens": 500}
    with openai.OpenAI(base_url=server.base_url, api_key=KEY) as client:
        with ragmeter.run(tenant="acme", quota=ragmeter.Quota.open(service.ledger)):
            with pytest.raises(ragmeter.QuotaExceeded, match="gpt@VLLM"):
                while len(server.bills) < 1000:
                    client.chat.completions.create(**ask)
            made = len(server.bills)
            service.delete("acme", "VLLM", "gpt", "chat")
            client.chat.completions.create(**ask)
        assert 0 < made == len(server.bills) - 1
    assert service.quota.list() == []


async def test_a_stream_that_is_left_is_recorded_once(service, server, watched, open_bundle):
    chat = open_bundle("acme", "chat", "gpt")
    stream = chat.async_chat_streamly(None, HISTORY)
    async for _ in stream:
        break
    await stream.aclose()
    assert ragmeter.current_scope() is None
    (call,) = spent(service)
    assert call["origin"] == "estimated"


async def test_a_call_that_was_refused_costs_nothing_and_its_error_is_the_sdks(service, server, watched, open_bundle):
    import openai

    server.faults.add(Fault.SERVER_ERROR, times=None)
    chat = open_bundle("acme", "chat", "gpt")
    with pytest.raises(openai.InternalServerError):
        await chat.async_chat(None, HISTORY)
    with pytest.raises(openai.InternalServerError):
        _ = [piece async for piece in chat.async_chat_streamly(None, HISTORY)]
    assert spent(service) == []
    assert server.bills == []


async def test_many_tenants_at_once_pay_each_for_his_own(service, server, watched, open_bundle):
    for number in range(5):
        service.create(f"t{number}", "VLLM", "gpt", "chat", api_key=KEY, api_base=server.base_url)

    async def ask(number):
        bundle = open_bundle(f"t{number % 5}", "chat", "gpt")
        question = [{"role": "user", "content": f"MARK-t{number % 5}x Question {number}" + " more" * number}]
        if number % 2:
            await bundle.async_chat(None, question)
        else:
            _ = [piece async for piece in bundle.async_chat_streamly(None, question)]

    await asyncio.gather(*(ask(number) for number in range(25)))
    assert service.ledger.flush(20)
    for number in range(5):
        (llm,) = service.list(f"t{number}")
        assert llm.used_tokens == server.totals(f"MARK-t{number}x").total_tokens > 0


class Foreign:
    """A model object as RAGFlow makes them."""

    async def async_chat(self, system, history, gen_conf):
        return ("**ERROR**: RATE_LIMIT - later", 0) if gen_conf.get("fail") else ("fine", 21)

    async def async_chat_streamly(self, system, history, gen_conf):
        yield "fi"
        yield "ne"
        yield 34

    def encode(self, texts):
        return [[0.0]] * len(texts), 5

    def transcription(self, audio):
        return "hello", 2

    def tts(self, text):
        yield b"RIFF"
        yield 3

    def describe(self, image):
        return "a cat", 100

    def ocr(self, document):
        return ["text"]


def sound(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"\0\0" * int(8000 * seconds))
    return file.getvalue()


async def test_any_model_object_is_metered_each_type_in_its_unit(service, open_bundle):
    def bundle(kind):
        return open_bundle("acme", kind, "theirs@OpenAI", model=Foreign())

    assert await bundle("chat").async_chat("s", HISTORY) == "fine"
    assert (await bundle("chat").async_chat("s", HISTORY, {"fail": True})).startswith("**ERROR**")
    assert [piece async for piece in bundle("chat").async_chat_streamly("s", HISTORY)] == ["fi", "fine"]
    assert bundle("embedding").encode(["x", "y"]) == ([[0.0], [0.0]], 5)
    assert bundle("speech2text").transcription(sound(2.5)) == "hello"
    assert bundle("speech2text").transcription(b"not a wave") == "hello"
    assert list(bundle("tts").tts("äbc")) == [b"RIFF"]
    assert bundle("image2text").describe(b"x") == "a cat"
    assert bundle("ocr").ocr([b"page", b"page"]) == ["text"]
    assert bundle("ocr").ocr(b"?") == ["text"]
    calls = spent(service)
    assert {(call["provider"], call["model"]) for call in calls} == {("openai", "theirs")}
    assert [
        (call["operation"], call["origin"], call.get("total_tokens"), call.get("audio_milliseconds"),
         call.get("characters"), call.get("pages"))
        for call in calls
    ] == [
        ("chat", "estimated", 21, None, None, None),
        ("chat", "estimated", 34, None, None, None),
        ("embeddings", "estimated", 5, None, None, None),
        ("speech2text", "estimated", None, 2500, None, None),
        ("speech2text", "estimated", 2, None, None, None),
        ("tts", "estimated", None, None, 3, None),
        ("image2text", "estimated", 100, None, None, None),
        ("ocr", "estimated", None, None, None, 2),
        ("ocr", "unknown", None, None, None, None),
    ]  # fmt: skip


async def test_a_bundle_goes_no_further_than_it_may(service, server, open_bundle):
    with pytest.raises(NotReachableError, match=r"127\.0\.0\.1 is no public address"):
        await open_bundle("acme", "chat", "gpt", reach=Reach([])).async_chat(None, HISTORY)
    with pytest.raises(NotReachableError):
        open_bundle("acme", "embedding", "embed", reach=Reach([])).encode(["a"])
    assert server.bills == []
    assert await open_bundle("acme", "chat", "gpt", reach=Reach(["127.0.0.0/8"])).async_chat(None, HISTORY)
    assert len(spent(service)) == 1


def test_a_model_that_is_not_there_is_said(service, open_bundle):
    with pytest.raises(LookupError, match="tenant 'acme' has no chat model 'nobody'"):
        open_bundle("acme", "chat", "nobody")
    service.create_tenant("acme")
    service.change_tenant("acme", status=False)
    for model in (None, Foreign()):
        with pytest.raises(LookupError, match="tenant 'acme' is switched off"):
            open_bundle("acme", "chat", "gpt", model=model)
    service.change_tenant("acme", status=True)
    service.create("acme", "Fish Audio", "voice", "tts", api_key=KEY)
    with pytest.raises(LookupError, match="no class for tts models of Fish Audio") as raised:
        open_bundle("acme", "tts", "voice")
    assert KEY not in str(raised.value)
    assert KEY not in repr(open_bundle("acme", "chat", "gpt"))
