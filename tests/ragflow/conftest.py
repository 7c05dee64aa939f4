"""The small host, imported as RAGFlow is, fresh for each test, and a server that knows what it billed."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ragmeter
from ragmeter import ragflow
from ragmeter.testing import StubServer

from .kit import Kit

HOST = Path(__file__).with_name("host")
collect_ignore = ["real"]  # needs a checkout: `make test-ragflow`
PACKAGES = ("agent", "api", "common", "rag")


def forget_host():
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


def import_host():
    pages = {
        "token_utils": "common.token_utils",
        "timeouts": "common.connection_utils",
        "pools": "common.misc_utils",
        "models": "rag.llm.chat_model",
        "llm_service": "api.db.services.llm_service",
        "base": "agent.component.base",
        "tools": "agent.tools.base",
        "canvas": "agent.canvas",
        "canvas_service": "api.db.services.canvas_service",
        "dialog_service": "api.db.services.dialog_service",
    }
    return SimpleNamespace(**{name: importlib.import_module(page) for name, page in pages.items()})


@pytest.fixture
def host_path(monkeypatch):
    forget_host()
    monkeypatch.syspath_prepend(str(HOST))
    importlib.invalidate_caches()
    yield HOST
    ragflow.uninstall()
    forget_host()


@pytest.fixture(scope="session")
def stub_server():
    with StubServer() as server:
        yield server


@pytest.fixture
def server(stub_server):
    stub_server.reset()
    return stub_server


@pytest.fixture(params=["installed first", "imported first"])
def kit(request, host_path, server):
    runs = []
    if request.param == "imported first":
        host = import_host()
        ragflow.install(runs=True, on_run=runs.append, keep_calls=50)
    else:
        ragflow.install(runs=True, on_run=runs.append, keep_calls=50)
        host = import_host()
    before = ragmeter.health()["errors"]
    kit = Kit(host, server, runs)
    yield kit
    assert ragmeter.health()["errors"] - before == kit.errors
