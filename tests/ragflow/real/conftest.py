"""A real checkout of RAGFlow, imported once and metered, before a server that knows what it billed."""

import importlib
import os
from types import SimpleNamespace

import pytest

from ragmeter import ragflow
from ragmeter.testing import StubServer

from . import checkout
from .kit import CONFIG, Kit, service

MODULES = (
    "common.token_utils",
    "common.connection_utils",
    "common.misc_utils",
    "rag.llm.chat_model",
    "api.db.services.tenant_llm_service",
    "api.db.services.llm_service",
    "agent.component.llm",
    "agent.component.message",
    "agent.tools.base",
    "agent.canvas",
)

runs = []


@pytest.fixture(scope="session")
def real():
    checkout.use(os.environ["RAGFLOW"])
    ragflow.install(runs=True, keep_calls=100, on_run=runs.append)
    return SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in MODULES})


@pytest.fixture(scope="session")
def stub():
    with StubServer() as server:
        yield server


@pytest.fixture(params=["Base", "LiteLLMBase"])
def kit(request, real, stub, monkeypatch):
    stub.reset()
    runs.clear()
    kit = Kit(real, stub, runs, request.param)
    tenants = service("tenant_llm_service")
    monkeypatch.setattr(tenants.TenantLLMService, "model_instance", staticmethod(kit.model))
    monkeypatch.setattr(tenants.TenantLangfuseService, "filter_by_tenant", staticmethod(lambda tenant_id: None))
    monkeypatch.setattr(real.llm, "resolve_model_type", lambda *args: ["chat"])
    monkeypatch.setattr(real.llm, "resolve_model_config", lambda *args: dict(CONFIG))
    for name in ("agent.canvas", "agent.component.base"):
        module = importlib.import_module(name)
        if hasattr(module, "has_canceled"):
            monkeypatch.setattr(module, "has_canceled", lambda *args: False)
    monkeypatch.setattr(real.canvas.Canvas, "is_canceled", lambda self: False, raising=False)
    return kit
