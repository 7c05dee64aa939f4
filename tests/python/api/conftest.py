"""The application with two tenants that must not know of each other; on SQLite where a test does not say otherwise."""

import pytest
from starlette.testclient import TestClient

import ragmeter
from ragmeter.api import create_app
from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService, Vault
from ragmeter.tenants.validation import Verdict
from ragmeter.tenants.vault import new_key


class Yes:
    """A validator for tests that are about other things."""

    def check(self, llm, *, trusted=False):
        return Verdict(True, "")


TABLES = ("tenants", "tenant_llm", "tokens", "quota_limits")


@pytest.fixture(scope="module")
def service(request, new_database, tmp_path_factory):
    url = new_database(getattr(request, "param", "sqlite"))
    with Ledger.open(url, journal=tmp_path_factory.mktemp("journal")) as ledger:
        service = TenantLLMService(ledger, Vault([new_key()]))
        for tenant in ("mine", "theirs"):
            service.create_tenant(tenant, f"title-of-{tenant}")
            service.create(
                tenant, "OpenAI", f"model-of-{tenant}", "chat", api_key=f"sk-key-of-{tenant}-0123456789",
                api_base=f"http://base-of-{tenant}/v1",
            )  # fmt: skip
            service.quota.limit(f"limit-of-{tenant}", tokens=100, tenant=tenant, per="total")
            service.increase_usage(tenant, "chat", 41, f"model-of-{tenant}@OpenAI")
            ragmeter.record(
                ragmeter.Usage(input_tokens=1), tenant=tenant, model=f"other-of-{tenant}", user=f"user-of-{tenant}"
            )
        assert ledger.flush(20)
        yield service


@pytest.fixture(scope="module")
def tokens(service):
    def text(*args, **kwargs):
        return service.tokens.make(*args, **kwargs)[1].reveal()

    return {
        "none": None,
        "wrong": "rmk_wrong",
        "other": text("theirs", "token-of-theirs"),
        "own": text("mine", "token-of-mine"),
        "superuser": text(None, "token-of-superuser", superuser=True),
    }


@pytest.fixture(scope="module")
def client(service):
    with TestClient(create_app(service, validator=Yes(), tries_a_minute=1000)) as client:
        yield client


@pytest.fixture(scope="module")
def kept(service, tokens):
    """Copies of the tables as they are before the first test; returns what is in them."""
    for table in TABLES:
        service.ledger.change([(f"CREATE TABLE kept_{table} AS SELECT * FROM ragmeter_{table}", [])])
    return {table: rows(service, table) for table in TABLES}


def rows(service, table):
    return sorted(service.ledger.select(f"SELECT * FROM ragmeter_{table}"), key=repr)


@pytest.fixture(autouse=True)
def as_it_was(service, kept):
    """Puts back after a test what it has changed."""

    def restore():
        changed = [table for table in TABLES if rows(service, table) != kept[table]]
        statements = [
            (statement, [])
            for table in changed
            for statement in (
                f"DELETE FROM ragmeter_{table}", f"INSERT INTO ragmeter_{table} SELECT * FROM kept_{table}",
            )
        ]  # fmt: skip
        if statements:
            service.ledger.change(statements)

    yield restore
    restore()
