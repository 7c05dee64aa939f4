"""The OpenAI-compatible endpoints of a real checkout tell the bill (D18)."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ragmeter.ragflow import runs

from .kit import ASK, history, service

pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = "api.apps.restful_apis.openai_api"


def told(answers):
    """The answers of a stream, parsed."""
    assert answers[-1].removeprefix("data:").strip() == "[DONE]"
    return [json.loads(answer.removeprefix("data:")) for answer in answers[:-1]]


def assert_billed(kit, usage):
    bills = kit.server.bills
    assert bills
    assert usage["prompt_tokens"] == sum(bill.prompt_tokens for bill in bills)
    assert usage["completion_tokens"] == sum(bill.completion_tokens for bill in bills)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == sum(bill.reasoning_tokens for bill in bills)


@pytest.mark.parametrize("stream", [True, False])
async def test_agents(kit, monkeypatch, stream):
    canvases = service("canvas_service")
    agent = SimpleNamespace(id="c1")
    database = {canvases.UserCanvasService.get_agent_dsl_with_release: (agent, str(kit.canvas()))}

    async def thread_pool_exec(function, *args, **kwargs):
        return database.get(function)

    monkeypatch.setattr(canvases, "thread_pool_exec", thread_pool_exec)
    monkeypatch.setattr(canvases, "API4Conversation", Conversation)
    answers = [answer async for answer in canvases.completion_openai("acme", "c1", ASK, stream=stream)]
    if stream:
        answers = told(answers)
        assert [answer["usage"] for answer in answers[:-1]] == [None] * (len(answers) - 1)
    assert_billed(kit, answers[-1]["usage"])
    kit.assert_exact()


class Conversation(SimpleNamespace):
    reference = None

    def to_dict(self):
        return dict(vars(self))


@pytest.fixture
def page(kit, monkeypatch):
    """The page of the chats, loaded as RAGFlow loads it; what it does before it chats is left out."""
    path = Path(os.environ["RAGFLOW"], *PAGE.split(".")).with_suffix(".py")
    apps = ModuleType("api.apps")
    apps.__path__ = [str(path.parents[1])]
    apps.login_required, apps.current_user = (lambda view: view), SimpleNamespace(id="acme")
    monkeypatch.setitem(sys.modules, "api.apps", apps)
    spec = importlib.util.spec_from_file_location(PAGE, path)
    page = importlib.util.module_from_spec(spec)
    page.manager = SimpleNamespace(route=lambda *args, **kwargs: lambda view: view)
    monkeypatch.setitem(sys.modules, PAGE, page)
    spec.loader.exec_module(page)

    async def async_chat(dialog, messages, stream, **kwargs):
        answers = [text async for text in kit.bundle().async_chat_streamly("Be brief.", messages)]
        yield {"answer": answers[-1], "reference": {}, "final": False}

    async def request():
        return {"model": "model", "messages": history(ASK)}

    dialog = SimpleNamespace(llm_id="m", kb_ids=[])
    for name, value in {
        "async_chat": async_chat,
        "get_request_json": request,
        "jsonify": lambda body: body,
        "merge_generation_config": lambda *args: None,
        "DialogService": SimpleNamespace(query=lambda **kwargs: [dialog]),
    }.items():
        monkeypatch.setattr(page, name, value)
    runs._chats(apps)
    return page


async def test_chats_plain(kit, page):
    view = page.openai_chat_completions
    answer = await getattr(view, "__wrapped__", view)("chat")
    assert_billed(kit, answer["usage"])


async def test_chats_streamed(kit, page):
    answers = page._stream_chat_completion_sse(
        page.async_chat(None, history(), True), completion_id="c", requested_model="m", prompt=ASK, need_reference=False
    )
    answers = told([answer async for answer in answers])
    assert [answer["usage"] for answer in answers[:-1]] == [None] * (len(answers) - 1)
    assert_billed(kit, answers[-1]["usage"])
