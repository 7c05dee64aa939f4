"""Providers of these tests are on this machine, which a tenant's URL must not lead to by itself."""

import pytest


@pytest.fixture(autouse=True)
def loopback_may_be_called(monkeypatch):
    monkeypatch.setenv("RAGMETER_ALLOW_NETWORKS", "127.0.0.0/8")
