"""Tenants and their models, in each database."""

import json
import threading

import pytest

import ragmeter
from ragmeter import LedgerError, Usage
from ragmeter.cli import main
from ragmeter.tenants import MODEL_TYPES, TenantLLM, TenantLLMService, Vault, VaultError
from ragmeter.tenants.models import model_type
from ragmeter.tenants.vault import key_file, new_key

KEY = "sk-plain-0123456789-SECRET"


def test_what_is_configured_comes_back_as_it_went_in(service):
    service.create_tenant("acme", "Acme & söhne '\"")
    made = service.create(
        "acme", "VLLM", "llama 'x' ü🙂", "vision", api_key=KEY, api_base="http://h/v1?a=b", max_tokens=7, quota=2**62
    )
    (found,) = service.list("acme")
    assert found == made
    assert (found.llm_name, found.model, found.model_type) == ("llama 'x' ü🙂___VLLM", "llama 'x' ü🙂", "image2text")
    assert found.api_key.reveal() == KEY
    assert service.tenant("acme").title == "Acme & söhne '\""
    changed = service.update(found, api_key="another-key-of-some-length", quota=None, status=False)
    assert service.list("acme") == [changed]
    assert service.get_api_key("acme", found.llm_name) is None  # it is off
    assert service.delete("acme", "VLLM", "llama 'x' ü🙂") == 1
    with pytest.raises(LookupError, match="has no model"):
        service.update(found, quota=1)
    for quota in (-1, 2**63):
        with pytest.raises(ValueError, match="a quota is 0 tokens or more"):
            service.create("acme", "VLLM", "other", "chat", quota=quota)
    assert service.list("acme") == []


def test_a_model_is_unique_by_tenant_factory_name_and_type(service):
    for tenant, factory, name, kind in [
        ("a", "OpenAI", "m", "chat"), ("b", "OpenAI", "m", "chat"), ("a", "Azure-OpenAI", "m", "chat"),
        ("a", "OpenAI", "M", "chat"), ("a", "OpenAI", "m", "image2text"),
    ]:  # fmt: skip
        service.create(tenant, factory, name, kind)
    with pytest.raises(LedgerError) as raised:
        service.create("a", "OpenAI", "m", "chat")
    assert raised.value.kind == "duplicate"
    assert len(service.list("a")) == 4


@pytest.mark.parametrize("url", [f"https://h/v1?api_key={KEY}", f"https://user:{KEY}@h/v1"])
def test_a_key_in_a_url_is_refused_without_repeating_it(service, url):
    with pytest.raises(ValueError, match="the URL holds a login or a key") as raised:
        service.create("a", "OpenAI", "m", "chat", api_base=url)
    assert KEY not in str(raised.value)
    assert service.list("a") == []


def test_saving_again_replaces_and_keeps_what_was_set(service):
    llm = TenantLLM("a", "OpenAI", "m", "chat")
    service.save([llm])
    service.update(service.get("a", "OpenAI", "m", "chat"), quota=5)
    service.save([llm, TenantLLM("a", "OpenAI", "n", "chat")])
    assert {(found.llm_name, found.quota) for found in service.list("a")} == {("m", 5), ("n", None)}


def test_many_who_save_the_same_at_once_leave_one(service):
    def save():
        try:
            service.save([TenantLLM("a", "OpenAI", name, "chat") for name in "xyz"])
        except LedgerError as exc:
            failed.append(exc)

    failed = []
    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [llm.llm_name for llm in service.list("a")] == ["x", "y", "z"]


def test_names_say_which_model_is_meant(service):
    service.create("a", "OpenAI-API-Compatible", "mine", "chat", api_key="1")
    service.create("a", "OpenAI", "gpt", "chat", api_key="2")
    service.create("a", "OpenAI", "gpt", "image2text", api_key="3")
    service.create("a", "Azure-OpenAI", "org@gpt", "chat", api_key="4")
    service.create_tenant("a")

    def key(*args):
        llm = service.get_api_key("a", *args)
        return llm.api_key.reveal() if llm else None

    assert key("mine") == key("mine___OpenAI-API") == key("mine@OpenAI-API-Compatible") == "1"
    assert key("gpt@OpenAI") == key("gpt", "chat") == "2"
    assert key("gpt", "vision") == "3"
    assert key("org@gpt") == key("org@gpt@Azure-OpenAI") == "4"
    assert key("gpt@Azure-OpenAI") is key("nobody") is key("", "chat") is None
    service.set_default("a", "chat", "gpt@OpenAI")
    assert key("", "chat") == "2"
    with pytest.raises(LookupError, match="has no rerank model"):
        service.set_default("a", "rerank", "gpt@OpenAI")


def test_what_the_newer_names_mean():
    assert [model_type(name) for name in ("vision", "asr", "EMBEDDING", *MODEL_TYPES)] == [
        "image2text", "speech2text", "embedding", *MODEL_TYPES,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="model_type is one of chat, "):
        model_type("video")


def test_usage_is_that_of_the_ledger_and_nothing_vanishes(service):
    service.create("a", "OpenAI", "m", "chat")
    service.create("a", "Azure-OpenAI", "m", "chat")
    service.create("a", "VLLM", "local", "embedding")
    big = 10**12
    for tokens, name in [(big, "m@OpenAI"), (big, "m@OpenAI"), (3, "m"), (5, "nobody@OpenAI"), (7, None)]:
        assert service.increase_usage("a", "chat", tokens, name)
    service.increase_usage("a", "embedding", 11, "local", output_tokens=0)
    service.increase_usage("b", "chat", 13, "m@OpenAI")
    ragmeter.record(Usage(input_tokens=1, output_tokens=2), tenant="a", provider="openai", model="m", operation="chat")
    assert service.ledger.flush(20)
    assert {(llm.llm_factory, llm.used_tokens) for llm in service.list("a")} == {
        ("OpenAI", 2 * big + 3), ("Azure-OpenAI", 0), ("VLLM", 11),
    }  # fmt: skip
    usage = service.usage("a")
    assert usage["used_tokens"] == 2 * big + 3 + 3 + 5 + 7 + 11
    assert {(row["llm_name"], row["used_tokens"]) for row in usage["unconfigured"]} == {
        ("m", 3), ("nobody", 5), (None, 7),
    }  # fmt: skip
    assert usage["used_tokens"] == sum(llm["used_tokens"] for llm in usage["models"]) + sum(
        row["used_tokens"] for row in usage["unconfigured"]
    )
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="cannot be output"):
            service.increase_usage("a", "chat", 1, "m", output_tokens=wrong)


def test_my_llms_answers_as_ragflow_does(service):
    service.create("a", "OpenAI", "m", "chat", api_key=KEY, api_base="http://x")
    assert service.my_llms("a") == {
        "OpenAI": {
            "tags": "LLM,TEXT EMBEDDING,TTS,SPEECH2TEXT",
            "llm": [{"type": "chat", "name": "m", "used_token": 0, "status": "1"}],
        }
    }
    (entry,) = service.my_llms("a", include_details=True)["OpenAI"]["llm"]
    assert (entry["api_base"], entry["max_tokens"], entry["api_key"]) == ("http://x", 8192, "****CRET")


def test_a_tenant_that_goes_takes_its_keys_and_tokens_along(service):
    service.create_tenant("a")
    service.create("a", "OpenAI", "m", "chat", api_key=KEY)
    token, secret = service.tokens.make("a")
    assert service.tokens.find(secret.reveal()) == token
    assert service.tokens.find(secret.reveal() + "x") is None
    assert service.delete_tenant("a")
    assert (service.list("a"), service.tokens.list("a"), service.tokens.find(secret.reveal())) == ([], [], None)
    assert not service.delete_tenant("a")


def test_a_catalog_of_every_form_is_loaded(service, tmp_path, caplog):
    path = tmp_path / "llm_factories.json"
    entries = [
        {"name": "Mine", "rank": "1200", "tags": "LLM", "llm": [
            {"llm_name": "both", "model_type": ["chat", "image2text", "vision"], "max_tokens": 5},
            {"llm_name": "bare", "model_type": "asr"},
            {"llm_name": "odd", "model_type": "telepathy"}, "no model", {"model_type": "chat"},
            {"llm_name": "off", "model_type": "chat", "status": "0"}]},
        {"name": "Empty", "status": "1", "url": {"default": "http://d", "intl": "http://i"}},
        {"name": "Youdao", "llm": []}, {"name": "Gone", "status": "0"}, {},
    ]  # fmt: skip
    path.write_text(json.dumps({"factory_llm_infos": entries}))
    assert service.catalog.load(path) == 4
    assert service.catalog.load(path) == 4
    found = {factory["name"]: factory for factory in service.catalog.factories()}
    assert set(found) == {"Mine", "Empty"}
    assert found["Mine"]["model_types"] == ["chat", "image2text", "speech2text"]
    assert tuple(found["Empty"]["model_types"]) == MODEL_TYPES
    assert service.catalog.factory("Empty")["url"] == "http://d"
    models = service.catalog.models("Mine")
    assert [(model["llm_name"], model["model_type"], model["max_tokens"]) for model in models] == [
        ("bare", "speech2text", None), ("both", "chat", 5), ("both", "image2text", 5),
    ]  # fmt: skip
    assert "'odd' is left out" in caplog.text
    assert "'Mine' is left out, for it is none: 'no model'" in caplog.text
    for content, trouble in (
        ([], "a catalog is"),
        ({"factory_llm_infos": [{"name": "Mine"}, {"name": "Bad", "llm": "gpt"}]}, "models of the factory 'Bad' are"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=trouble):
            service.catalog.load(path)
    assert service.catalog.models("Mine") == models  # a file of another form has changed nothing


def test_keys_are_encrypted_and_rotate(service, tamper):
    service.create("a", "OpenAI", "m", "chat", api_key=KEY)
    stored = [row[0] for row in service.ledger.select("SELECT api_key FROM ragmeter_tenant_llm")]
    assert KEY not in stored[0]
    old, new = new_key(), new_key()
    first = TenantLLMService(service.ledger, Vault([old]))
    with pytest.raises(VaultError, match="encrypted with a key that is not in") as raised:
        first.list("a")
    assert KEY not in str(raised.value)
    first.delete("a", "OpenAI")
    first.create("a", "OpenAI", "m", "chat", api_key=KEY)
    assert TenantLLMService(service.ledger, Vault([new, old])).rotate() == 1
    assert TenantLLMService(service.ledger, Vault([new])).list("a")[0].api_key.reveal() == KEY
    tamper_sql = "UPDATE ragmeter_tenant_llm SET api_key = 'gAAAAAB' WHERE tenant_id = 'a'"
    service.ledger.change([(tamper_sql, [])])
    with pytest.raises(VaultError):
        TenantLLMService(service.ledger, Vault([new])).list("a")


def test_the_command_does_it_all(tmp_path, capsys, monkeypatch):
    url = f"sqlite:{tmp_path}/ledger.db"
    monkeypatch.setenv("RAGMETER_LEDGER", url)

    def run(*arguments):
        code = main(["tenant", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert run("list") == (0, "no tenants\n")
    assert run("add", "acme", "--title", "Acme") == (0, "added acme\n")
    assert run("add", "acme") == (2, "ragmeter: there is a tenant 'acme' already\n")
    assert run("usage", "nobody") == (1, "ragmeter: there is no tenant 'nobody'\n")
    service = TenantLLMService(ragmeter.Ledger(url))
    service.create("acme", "OpenAI", "gpt", "chat", api_key=KEY)
    with ragmeter.Ledger.open(url) as ledger:
        TenantLLMService(ledger).increase_usage("acme", "chat", 1234, "gpt@OpenAI")
    assert "1,234" in run("list")[1]
    assert run("quota", "acme", "gpt@OpenAI", "1,000") == (0, "gpt@OpenAI: 1,000 tokens\n")
    assert run("quota", "acme", "gpt@OpenAI", "-1")[0] == 2
    assert run("quota", "acme", "gpt2")[0] == 1
    assert run("limit", "acme", "a month", "--money", "12.50")[0] == 0
    assert run("limit", "acme", "a month", "--remove", "--json")[1] == "removed a month\n"
    assert run("limit", "acme", "a day", "--calls", "1,000", "--per", "day", "--user", "*")[0] == 0
    limits = json.loads(run("limit", "acme", "--user", "ann", "--json")[1])
    assert [(row["measure"], row["limit"], row["remaining"]) for row in limits] == [
        ("calls", 1000, 1000), ("tokens", 1000, 1000),
    ]  # fmt: skip
    assert run("limit", "acme", "a day")[1] == "ragmeter: how much? give --tokens, --calls or --money\n"
    code, page = run("usage", "acme")
    assert code == 0
    assert "1,000 tokens" in page
    assert KEY not in page
    assert run("usage", "acme", "--json")[1].count('"used_tokens": 1234') == 2
    before = key_file(url).read_text()
    assert key_file(url).stat().st_mode & 0o777 == 0o600
    assert run("rotate", "--drop-old")[1].startswith("1 keys were encrypted anew\n1 older keys")
    assert key_file(url).read_text() != before
    assert service.vault is not None
    other = TenantLLMService(service.ledger)
    assert other.list("acme")[0].api_key.reveal() == KEY
    # A process that goes on while somebody rotates reads and writes with the new key.
    assert run("rotate", "--drop-old")[0] == 0
    assert other.list("acme")[0].api_key.reveal() == KEY
    assert run("rotate", "--drop-old")[0] == 0
    other.create("acme", "OpenAI", "late", "chat", api_key=KEY)
    assert TenantLLMService(service.ledger).get_api_key("acme", "late").api_key.reveal() == KEY
    code, token = run("token", "acme")
    assert service.tokens.find(token.strip()).tenant_id == "acme"


def test_a_key_file_that_others_may_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("RAGMETER_SECRET_KEY", raising=False)
    path = key_file(f"sqlite:{tmp_path}/l.db")
    path.write_text(new_key())
    path.chmod(0o644)
    with pytest.raises(VaultError, match="others may read"):
        Vault.of(f"sqlite:{tmp_path}/l.db")
    monkeypatch.setenv("RAGMETER_SECRET_KEY", "a passphrase, " + new_key())
    vault = Vault.of("sqlite:elsewhere.db")
    assert vault.unlock(Vault(["a passphrase"]).lock(ragmeter.tenants.Secret("x"))).reveal() == "x"
