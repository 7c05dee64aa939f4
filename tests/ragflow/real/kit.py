"""What the tests need to build and run agents of a real checkout."""

import importlib
import json

import ragmeter
from ragmeter import ragflow

CONFIG = {"llm_name": "gpt-4o-mini", "llm_factory": "OpenAI-API-Compatible", "model_type": "chat", "max_tokens": 8192}
ASK = "What did Marley leave to Scrooge?"


def history(text=ASK):
    return [{"role": "user", "content": text}]


def node(name, params, upstream, downstream):
    return {"obj": {"component_name": name, "params": params}, "upstream": upstream, "downstream": downstream}


def llm(prompt, upstream, downstream):
    params = {"llm_id": "gpt-4o-mini@X", "sys_prompt": "Be brief.", "prompts": [{"role": "user", "content": prompt}]}
    return node("LLM", params, upstream, downstream)


def dsl(components):
    sys = {"query": "", "user_id": "u", "conversation_turns": 0, "files": [], "history": []}
    empty = {"history": [], "path": [], "retrieval": [], "memory": [], "variables": {}}
    return json.dumps(
        {"components": components, "globals": {f"sys.{name}": value for name, value in sys.items()}, **empty}
    )


def talk(message, prompt):
    """An agent of three components: it begins, asks a model, and sends what the model says."""
    return dsl(
        {
            "begin": node("Begin", {"mode": "conversational", "prologue": "Hi"}, [], ["LLM:0"]),
            "LLM:0": llm(prompt, ["begin"], ["Message:0"]),
            "Message:0": node("Message", message, ["LLM:0"], []),
        }
    )


class Kit:
    """The modules of the checkout, a server that knows what it billed, and the runs that ended."""

    def __init__(self, real, server, runs, kind):
        self.real, self.server, self.runs, self.kind = real, server, runs, kind

    def model(self, config=CONFIG, lang="English", **kwargs):
        more = {"provider": "OpenAI"} if self.kind == "LiteLLMBase" else {}
        # Whatever fails fails at once; RAGFlow waits for minutes before it tries again.
        kwargs = {"retry_interval": 0, **kwargs}
        return getattr(self.real.chat_model, self.kind)(
            "any", config["llm_name"], self.server.base_url, **more, **kwargs
        )

    def bundle(self, mdl=None, tenant="acme", **config):
        bundle = self.real.llm_service.LLMBundle(tenant, {**CONFIG, **config})
        if mdl is not None:
            bundle.mdl = mdl
        return bundle

    def canvas(self, content="{LLM:0@content}", prompt=ASK, id_="c1", task_id=None, **message):
        source = talk({"content": [content], **message}, prompt)
        return self.real.canvas.Canvas(source, "acme", task_id=task_id, canvas_id=id_)

    async def inside_a_run(self, monkeypatch, work):
        """Run `work` where the LLM component would work; the events."""
        canvas = self.canvas(content="done")
        monkeypatch.setattr(canvas.components["LLM:0"]["obj"], "_invoke_async", work)
        return await collect(canvas)

    def assert_exact(self, events=None):
        """One run, with what the server billed; the last event that tells a usage tells this one."""
        bills = self.server.bills
        assert bills, "nothing was billed, the test tests nothing"
        prompt, completion = sum(bill.prompt_tokens for bill in bills), sum(bill.completion_tokens for bill in bills)
        (run,) = self.runs
        counted = (run.usage.input_tokens, run.usage.output_tokens, run.calls)
        assert counted == (prompt, completion, len(bills)), run.calls_list()
        if events is not None:
            expected = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "calls": len(bills),
            }
            assert usages(events)[-1] == expected
        assert_clean()


def assert_clean():
    assert ragflow.token_usage_sink.get() is None
    assert ragflow.langfuse_run_attrs.get() is None
    assert ragmeter.current_run() is None


def usages(events):
    return [event["data"]["usage"] for event in events if "usage" in (event.get("data") or {})]


async def collect(canvas, events=None, **kwargs):
    """Run an agent to its end. What came before an exception is in `events`."""
    events = [] if events is None else events
    async for event in canvas.run(query="q", user_id="ann", **{"session_id": "s1", **kwargs}):
        events.append(event)
    return events


def chat(bundle, text="Who is Fred?"):
    return bundle.async_chat("Be brief.", history(text))


def service(name):
    return importlib.import_module(f"api.db.services.{name}")
