"""A service on a fresh database of each kind."""

import pytest

from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService, Vault
from ragmeter.tenants.vault import new_key


@pytest.fixture
def service(database, tmp_path):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        yield TenantLLMService(ledger, Vault([new_key()]))
