"""What a new tenant begins with: each model once, with the key of its own factory."""

import pytest

from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService, Vault
from ragmeter.tenants.provisioning import get_init_tenant_llm, provision, read_config
from ragmeter.tenants.vault import new_key

CONFIG = """
mysql: {name: rag_flow}
user_default_llm:
  factory: OpenAI
  api_key: ${OPENAI_KEY}
  base_url: ${OPENAI_URL:-http://openai/v1}
  default_models:
    chat_model: gpt-5-mini
    embedding_model: {name: embedding-3, factory: ZHIPU-AI, api_key: zhipu-key}
    rerank_model: {model: jina-reranker-v2-base-multilingual@Jina, api_key: jina-key, base_url: http://jina/v1}
    image2text_model: {name: of-my-own, factory: VLLM, base_url: http://vllm/v1}
    asr_model: whisper-1@OpenAI
"""


@pytest.fixture
def service(tmp_path):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        yield TenantLLMService(ledger, Vault([new_key()]))


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_KEY", "openai-key")
    path = tmp_path / "service_conf.yaml"
    path.write_text(CONFIG)
    return read_config(path)


def test_each_model_comes_once_with_the_key_of_its_own_factory(service, config):
    llms = get_init_tenant_llm("ann", config, service.catalog)
    keys = [(llm.llm_factory, llm.llm_name, llm.model_type) for llm in llms]
    assert len(keys) == len(set(keys))
    assert {(llm.llm_factory, llm.api_key.reveal(), llm.api_base) for llm in llms} == {
        ("OpenAI", "openai-key", "http://openai/v1"),
        ("ZHIPU-AI", "zhipu-key", None),
        ("Jina", "jina-key", "http://jina/v1"),
        ("VLLM", "x", "http://vllm/v1"),
    }
    assert {llm.llm_name for llm in llms if llm.llm_factory == "VLLM"} == {"of-my-own"}
    offered = {model["llm_name"] for model in service.catalog.models("OpenAI")}
    assert {llm.llm_name for llm in llms if llm.llm_factory == "OpenAI"} == offered
    assert all(not llm.verified for llm in llms)


def test_provisioning_twice_changes_nothing(service, config):
    assert provision(service, "ann", config)
    first = service.list("ann")
    assert provision(service, "ann", config) == []
    assert service.list("ann") == first
    assert service.get_api_key("ann", "", "chat").llm_name == "gpt-5-mini"
    assert service.get_api_key("ann", "", "vision").llm_name == "of-my-own___VLLM"
    assert service.get_api_key("ann", "", "asr").api_key.reveal() == "openai-key"


def test_nothing_is_configured_and_nothing_is_made(service, monkeypatch):
    assert get_init_tenant_llm("ann", {}, service.catalog) == []
    monkeypatch.setenv("COMPOSE_PROFILES", "elasticsearch,tei-cpu")
    monkeypatch.setenv("TEI_MODEL", "BAAI/bge-small")
    (llm,) = get_init_tenant_llm("ann", {"user_default_llm": {"factory": ""}}, service.catalog)
    assert (llm.llm_factory, llm.llm_name, llm.model_type) == ("Builtin", "BAAI/bge-small", "embedding")
