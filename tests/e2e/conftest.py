"""What the end-to-end tests share: one stub server, and a LightRAG the way its users make one."""

import pytest

from ragmeter.testing import StubServer


@pytest.fixture(scope="session")
def stub_server():
    with StubServer() as server:
        yield server


@pytest.fixture
def server(stub_server):
    stub_server.reset()
    return stub_server
