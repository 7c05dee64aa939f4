"""What tests need to build and run agents of the small host."""

import asyncio

import ragmeter
from ragmeter import ragflow

ASK = "What did Marley leave to Scrooge?"


def history(text=ASK):
    return [{"role": "user", "content": text}]


class Kit:
    """A host, metered, and what tests need to build agents of it."""

    def __init__(self, host, server, runs):
        self.host, self.server, self.runs, self.errors = host, server, runs, 0

    def model(self, kind="Base", name="gpt-4o-mini"):
        return getattr(self.host.models, kind)("any", name, self.server.base_url)

    def bundle(self, mdl=None, name="gpt-4o-mini", **more):
        return self.host.llm_service.LLMBundle(
            "acme", {"llm_name": name, "llm_factory": "OpenAI"}, mdl or self.model(), **more
        )

    def canvas(self, *works, id_="canvas-1", **more):
        canvas = self.host.canvas.Canvas({}, "acme", canvas_id=id_, **more)
        for at, work in enumerate(works):
            canvas.components[f"c{at}"] = {"obj": self.host.base.ComponentBase(canvas, f"c{at}", work)}
        return canvas

    async def run(self, *works, **kwargs):
        """Run an agent to its end; its events."""
        kwargs = {"user_id": "ann", "session_id": "s1", **kwargs}
        return [event async for event in self.canvas(*works).run(**kwargs)]

    def billed(self, marker=None):
        bills = self.server.bills_for(marker) if marker else self.server.bills
        return sum(b.prompt_tokens for b in bills), sum(b.completion_tokens for b in bills), len(bills)

    def counted(self, run=None):
        run = run or self.runs[-1]
        return run.usage.input_tokens or 0, run.usage.output_tokens or 0, run.calls

    def assert_exact(self, events=None, run=None):
        assert self.server.bills, "nothing was billed, the test tests nothing"
        assert self.counted(run) == self.billed()
        if events is not None:
            prompt, completion, calls = self.billed()
            assert usages(events)[-1] == {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "calls": calls,
            }
        self.assert_clean()

    def assert_clean(self):
        assert ragflow.token_usage_sink.get() is None
        assert ragflow.langfuse_run_attrs.get() is None
        assert ragmeter.current_run() is None


def usages(events):
    return [event["data"]["usage"] for event in events if "usage" in event["data"]]


async def until(condition):
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def collect(source, events):
    """Add to `events` what comes before an exception too."""
    async for event in source:
        events.append(event)


async def chat(bundle, text=ASK):
    return await bundle.async_chat("Be brief.", history(text))
