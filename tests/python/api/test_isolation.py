"""Every endpoint × every kind of token: nothing is readable or writable across tenants."""

import functools

import pytest

from ragmeter.tenants.limits import limits_of

pytestmark = pytest.mark.parametrize("service", ["sqlite", "postgresql", "mysql"], indirect=True, scope="module")
WHOSE = {"tenant_id": "mine"}
MODEL = {"llm_factory": "OpenAI", "llm_name": "model-of-mine"}
OURS = {"none": 401, "wrong": 401, "other": 403, "own": 200, "superuser": 200}
"""What an endpoint about the tenant `mine` answers."""
SUPERUSER = {**OURS, "own": 403}
ANYBODY = {**OURS, "other": 200}
OPEN = dict.fromkeys(OURS, 200)

LLM = {
    ("POST", "/set_api_key"): (OURS, {"llm_factory": "OpenAI", "api_key": "sk-new-0123456789abcdef"}),
    ("POST", "/add_llm"): (
        OURS,
        {**MODEL, "llm_name": "another", "model_type": "chat", "api_key": "sk-new-0123456789"},
    ),
    ("GET", "/factories"): (ANYBODY, None),
    ("GET", "/my_llms"): (OURS, None),
    ("GET", "/list"): (OURS, None),
    ("POST", "/delete_llm"): (OURS, MODEL),
    ("POST", "/delete_factory"): (OURS, {"llm_factory": "OpenAI"}),
    ("POST", "/enable_llm"): (OURS, {**MODEL, "status": 0}),
}
MATRIX = {
    **{(method, prefix + path): row for prefix in ("/api/v1/llm", "/v1/llm") for (method, path), row in LLM.items()},
    ("GET", "/api/v1/tenants"): (ANYBODY, None),
    ("POST", "/api/v1/tenants"): (SUPERUSER, {"tenant_id": "new"}),
    ("GET", "/api/v1/tenants/{tenant_id}"): (OURS, None),
    ("PATCH", "/api/v1/tenants/{tenant_id}"): (SUPERUSER, {"title": "another"}),
    ("DELETE", "/api/v1/tenants/{tenant_id}"): (SUPERUSER, None),
    ("PUT", "/api/v1/tenants/{tenant_id}/defaults"): (OURS, {"model_type": "chat", "model": "model-of-mine"}),
    ("GET", "/api/v1/tenants/{tenant_id}/usage"): (OURS, None),
    ("GET", "/api/v1/tenants/{tenant_id}/calls"): (OURS, None),
    ("GET", "/api/v1/tenants/{tenant_id}/quotas"): (OURS, None),
    ("PUT", "/api/v1/tenants/{tenant_id}/quotas"): (SUPERUSER, {**MODEL, "model_type": "chat", "tokens": 5}),
    ("GET", "/api/v1/tenants/{tenant_id}/limits"): (OURS, None),
    ("PUT", "/api/v1/tenants/{tenant_id}/limits"): (SUPERUSER, {"name": "limit-of-mine", "money": "1.5"}),
    ("DELETE", "/api/v1/tenants/{tenant_id}/limits/{name}"): (SUPERUSER, None),
    ("GET", "/api/v1/tenants/{tenant_id}/tokens"): (OURS, None),
    ("POST", "/api/v1/tenants/{tenant_id}/tokens"): (OURS, {"title": "t"}),
    ("DELETE", "/api/v1/tenants/{tenant_id}/tokens/{token_id}"): (OURS, None),
    ("GET", "/api/v1/usage"): (SUPERUSER, None),
    ("GET", "/api/v1/model_types"): (ANYBODY, None),
    ("GET", "/api/v1/health"): (OPEN, None),
    ("GET", "/api/v1/metrics"): (SUPERUSER, None),
}
"""Method and path: what each kind of token gets, and the body of the request."""


def everything(service, tenant):
    limits = limits_of(service.quota, tenant)
    return service.tenant(tenant), service.usage(tenant), service.list(tenant), service.tokens.list(tenant), limits


@pytest.mark.parametrize("token", list(OURS))
@pytest.mark.parametrize(("method", "path"), list(MATRIX))
def test_nothing_crosses_from_tenant_to_tenant(client, service, tokens, method, path, token):  # noqa: PLR0917
    expected, body = MATRIX[method, path]
    mine = next(entry.id for entry in service.tokens.list("mine"))
    headers = {"Authorization": f"Bearer {tokens[token]}"} if tokens[token] else {}
    before = {tenant: everything(service, tenant) for tenant in ("mine", "theirs")}
    names = {"{token_id}": mine, "{tenant_id}": "mine", "{name}": "limit-of-mine"}
    asks = functools.reduce(lambda text, name: text.replace(name, names[name]), names, path)
    answer = client.request(method, asks, headers=headers, json=body, params=None if "{" in path else WHOSE)
    assert answer.status_code == expected[token], answer.text
    after = {tenant: everything(service, tenant) for tenant in ("mine", "theirs")}
    assert "sk-" not in answer.text
    if answer.status_code != 200:
        assert before == after
        assert "-of-" not in answer.text
        return
    if answer.headers["content-type"].startswith("application/json"):
        assert answer.json()["code"] == 0, answer.text
    assert after["theirs"] == before["theirs"]
    if token == "own":
        assert "of-theirs" not in answer.text
    if token in {"none", "wrong", "other"}:
        assert before == after
        assert "of-mine" not in answer.text


def test_the_matrix_has_every_endpoint(client):
    paths = client.app.openapi()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(MATRIX)


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in MATRIX if (method, path)[1].startswith("/v1/llm")]
)
def test_without_a_name_a_token_means_its_own_tenant(client, service, tokens, method, path):
    before = everything(service, "mine")
    answer = client.request(
        method, path, headers={"Authorization": f"Bearer {tokens['other']}"}, json=MATRIX[method, path][1]
    )
    assert answer.status_code == 200
    assert "of-mine" not in answer.text.replace("'model-of-mine'", "")  # what was asked for
    assert everything(service, "mine") == before


@pytest.mark.parametrize("name", ["mine%00", "mine ", "MINE", "mine%2f..%2ftheirs", "%6dine%ff", "../mine"])
def test_no_spelling_of_a_name_gets_around(client, service, tokens, name):
    headers = {"Authorization": f"Bearer {tokens['other']}"}
    for path in (f"/api/v1/tenants/{name}/usage", f"/v1/llm/my_llms?tenant_id={name}"):
        answer = client.get(path, headers=headers)
        assert answer.status_code in {403, 404}
        assert "of-mine" not in answer.text


def test_a_token_of_one_tenant_is_not_revoked_by_another(client, service, tokens):
    mine = service.tokens.list("mine")[0]
    answer = client.delete(
        f"/api/v1/tenants/theirs/tokens/{mine.id}", headers={"Authorization": f"Bearer {tokens['other']}"}
    )
    assert answer.json()["code"] == 102
    assert service.tokens.find(tokens["own"]) == mine


def test_a_limit_is_set_by_superusers_for_their_tenant_alone(client, service, tokens):
    root = {"Authorization": f"Bearer {tokens['superuser']}"}
    service.quota.limit("all together", tokens=10**6)
    service.quota.reserve(7, tenant="theirs").settle(tokens=7)
    body = {"name": "day", "calls": 3, "per": "day", "user": "*"}
    assert client.put("/api/v1/tenants/mine/limits", json=body, headers=root).json()["code"] == 0
    for name in ("limit-of-theirs", "all together"):
        wrong = client.put("/api/v1/tenants/mine/limits", json={"name": name, "tokens": 1}, headers=root)
        gone = client.delete(f"/api/v1/tenants/mine/limits/{name}", headers=root)
        assert (wrong.json()["code"], gone.json()["code"]) == (101, 101)
    service.quota.reserve(1, tenant="mine", user="ann").settle(tokens=1)
    assert service.quota.flush()

    def seen(token, **params):
        headers = {"Authorization": f"Bearer {tokens[token]}"}
        rows = client.get("/api/v1/tenants/mine/limits", params=params, headers=headers).json()["data"]
        return {row["name"]: (row["limit"], row["used"], row["remaining"]) for row in rows}

    mine = {"day": (3, None, None), "limit-of-mine": (100, 1, 99)}
    assert seen("own") == mine
    assert seen("own", user="ann")["day"] == (3, 1, 2)
    assert seen("superuser") == {**mine, "all together": (10**6, 8, 10**6 - 8)}
    service.quota.remove("all together")


def test_a_tenant_does_not_make_himself_a_superuser(client, service, tokens):
    answer = client.post(
        "/api/v1/tenants/mine/tokens",
        json={"superuser": True},
        headers={"Authorization": f"Bearer {tokens['own']}"},
    )
    assert answer.status_code == 403
    assert not any(token.superuser for token in service.tokens.list("mine"))
    _, secret = service.tokens.make("mine", superuser=True)
    (root,) = (token for token in service.tokens.list("mine") if token.superuser)
    gone = client.delete(f"/api/v1/tenants/mine/tokens/{root.id}", headers={"Authorization": f"Bearer {tokens['own']}"})
    assert gone.status_code == 403, "nor does he lock one out"
    assert service.tokens.find(secret.reveal()) == root


def test_a_tenant_that_is_gone_gets_in_no_more(client, service, tokens):
    headers = {"Authorization": f"Bearer {tokens['own']}"}
    assert client.get("/api/v1/tenants", headers=headers).status_code == 200
    root = {"Authorization": f"Bearer {tokens['superuser']}"}
    for status, answers in [(False, 401), (True, 200)]:
        assert client.patch("/api/v1/tenants/mine", json={"status": status}, headers=root).json()["code"] == 0
        assert client.get("/api/v1/tenants", headers=headers).status_code == answers
        assert (service.get_api_key("mine", "model-of-mine") is not None) is status
    service.delete_tenant("mine")
    assert client.get("/api/v1/tenants", headers=headers).status_code == 401


def test_calls_are_paged_within_the_tenant(client, service, tokens):
    headers = {"Authorization": f"Bearer {tokens['own']}"}
    after, seen = None, []
    while True:
        params = {"limit": 1, **({"after": after} if after else {})}
        page = client.get("/api/v1/tenants/mine/calls", params=params, headers=headers).json()["data"]
        seen += page["calls"]
        after = page["next"]
        if after is None:
            break
    assert [call["labels"]["model"] for call in seen] == ["model-of-mine", "other-of-mine"]
    foreign = next(service.ledger.calls({"tenant": "theirs"}))["id"]
    page = client.get("/api/v1/tenants/mine/calls", params={"after": f"{foreign}.0"}, headers=headers)
    assert "of-theirs" not in page.text
