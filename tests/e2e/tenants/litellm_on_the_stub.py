"""The models of litellm against a server that knows what it billed: each call once, whatever litellm sends it with.

Not part of the usual run, for litellm does not go with what other SDKs need: `make test` puts it on the path.
"""

import pytest

import ragmeter
from ragmeter.ledger import Ledger
from ragmeter.tenants import LLMBundle, TenantLLM, TenantLLMService, Vault
from ragmeter.tenants.litellm_models import LiteLLMModel
from ragmeter.tenants.secret import Secret
from ragmeter.tenants.vault import new_key
from ragmeter.testing import StubServer

HISTORY = [{"role": "user", "content": "Who was Scrooge's partner?"}]
KEY = "sk-right-key-0123456789"


@pytest.fixture(scope="module", autouse=True)
def litellm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it is fetched from elsewhere otherwise
        import litellm

        yield litellm


@pytest.fixture
def server():
    with StubServer() as server:
        yield server


@pytest.fixture
def service(tmp_path):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        yield TenantLLMService(ledger, Vault([new_key()]))


@pytest.fixture(params=["alone", "observed"], autouse=True)
def watched(request):
    if request.param == "observed":
        ragmeter.instrument("openai", "anthropic", "aiohttp", "voyageai")


@pytest.fixture
def bundle(service, server):
    def open_one(kind, factory, name, path):
        llm = TenantLLM("acme", factory, name, kind, Secret(KEY))
        model = LiteLLMModel(llm, server.url + path)
        quota = service.quota
        quota.limit("acme", tokens=100_000, tenant="acme")
        return LLMBundle("acme", kind, f"{name}@{factory}", service=service, model=model, quota=quota)

    return open_one


def assert_exact(service, server, count):
    assert service.ledger.flush(20)
    calls = list(service.ledger.calls())
    assert len(calls) == len(server.bills) == count, "each once, and none twice"
    counts = [call["usage"]["total_tokens"] for call in calls]
    for call, bill in zip(calls, server.bills, strict=True):
        # Of a stream litellm does not say whether it has counted itself; then it is an estimate.
        exact = call["usage"]["origin"] == "reported"
        assert exact or bill.stream
        assert call["usage"]["total_tokens"] == bill.total_tokens if exact else call["usage"]["total_tokens"] > 0
    assert {call["labels"]["tenant"] for call in calls} == {"acme"}
    (standing,) = service.quota.usage(tenant="acme")
    assert (standing["used"], standing["reserved"]) == (sum(counts), 0)


# Through the SDK of OpenAI, and through an HTTP client of litellm's own.
@pytest.mark.parametrize(
    "model", [("NVIDIA", "gpt-4o-mini", "/v1"), ("Anthropic", "claude-haiku-4-5", "")], ids=lambda model: model[0]
)
async def test_chats(service, server, bundle, model):
    chat = bundle("chat", *model)
    assert await chat.async_chat("Be brief.", HISTORY, {"max_tokens": 100})
    assert [piece async for piece in chat.async_chat_streamly("Be brief.", HISTORY, {"max_tokens": 100})]
    assert_exact(service, server, 2)


@pytest.mark.parametrize(
    "model",
    [("NVIDIA", "text-embedding-3-small", "/v1"), ("Voyage AI", "voyage-3", "/voyage/v1/embeddings")],
    ids=lambda model: model[0],
)
def test_embeddings(service, server, bundle, model):
    vectors, used = bundle("embedding", *model).encode(["the counting-house", "of Scrooge"])
    assert len(vectors) == 2
    assert used == server.bills[0].total_tokens
    assert_exact(service, server, 1)


def test_ranks(service, server, bundle):
    scores, _ = bundle("rerank", "Cohere", "rerank-v3.5", "/v2/rerank").similarity("Scrooge?", ["Scrooge", "Marley"])
    assert len(scores) == 2
    assert service.ledger.flush(20)
    (call,) = service.ledger.calls()
    assert (call["usage"]["search_units"], call["labels"]["operation"], len(server.bills)) == (1, "rerank", 1)
