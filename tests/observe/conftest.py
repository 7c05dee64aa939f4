"""What the tests of the observers share: one stub server, and every SDK that is pointed at it."""

import gc
import sys
import warnings

import pytest

import ragmeter
from ragmeter.testing import StubServer


@pytest.fixture(scope="session")
def stub_server():
    with StubServer() as server:
        yield server


@pytest.fixture
def server(stub_server):
    stub_server.reset()
    return stub_server


@pytest.fixture(autouse=True)
def no_hook_fails():
    errors = ragmeter.health()["errors"]
    yield
    assert ragmeter.health()["errors"] == errors


@pytest.fixture(autouse=True)
async def no_session_stays_open():
    """DashScope's SDK keeps one a loop, and complains of it when the interpreter ends."""
    yield
    if sessions := sys.modules.get("dashscope.api_entities.aio_session"):
        await sessions.close_shared_aio_session()


@pytest.fixture(scope="session", autouse=True)
def clients_are_let_go():
    """Clients of streams that were left are still open; what they say of it when they are collected is no news."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
