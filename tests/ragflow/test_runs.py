"""Runs of agents: who they belong to, what they hold, and whom they leave alone."""

import asyncio
import contextlib
import gc

import ragmeter

from .kit import chat, history, usages


async def test_a_run_that_waits_for_the_user(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return "ask the user"

    events = await kit.run(work)
    assert events[-1]["event"] == "user_inputs"
    kit.assert_exact(events)


async def test_calls_outside_any_agent_know_their_tenant(kit):
    heard = []
    with ragmeter.run(listeners=[heard.append]):
        await chat(kit.bundle())
    assert [call.labels["tenant"] for call in heard] == ["acme"]
    assert kit.runs == []


async def test_a_component_that_streams_later_is_known_by_its_bundle(kit):
    bundle = kit.bundle()

    async def first(component):
        return "done"

    async def second(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    canvas = kit.canvas(first, second)
    canvas.components["c0"]["obj"].chat_mdl = bundle
    async for _ in canvas.run():
        pass
    assert set(kit.runs[0].by("component")) == {"c0"}


async def test_sinks_of_the_user_hear_what_he_records_himself(kit):
    def work(component):
        kit.host.token_utils.record_run_token_usage(1, 2, 3)

    events = await kit.run(work)
    assert usages(events)[-1] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "calls": 1}


async def test_an_error_of_ragmeter_is_none_of_the_host(kit, monkeypatch):
    bundle = kit.bundle()
    monkeypatch.setattr("ragmeter.ragflow.bundle.BundleCall", broken)
    monkeypatch.setattr("ragmeter.ragflow.turn.Run", broken)
    before = ragmeter.health()["errors"]

    async def work(component):
        return bundle.async_chat_streamly_delta("Be brief.", history())

    events = await kit.run(work)
    assert events[-1]["event"] == "workflow_finished"
    kit.errors = ragmeter.health()["errors"] - before
    assert kit.errors == 2


def broken(*args, **kwargs):
    raise RuntimeError("broken")


async def test_exceptions_of_the_caller_end_the_run(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)

    source = kit.canvas(work).run()
    with contextlib.suppress(RuntimeError):
        async with contextlib.aclosing(source):
            async for event in source:
                if event["event"] == "node_finished":
                    raise RuntimeError("the caller's own")
    kit.assert_exact()
    assert len(kit.runs) == 1


async def test_a_run_is_forgotten_when_nobody_holds_it(kit):
    bundle = kit.bundle()

    async def work(component):
        await chat(bundle)
        return bundle.async_chat_streamly_delta("Be brief.", history())

    for _ in range(3):
        await kit.run(work)
    kit.runs.clear()
    await asyncio.sleep(0.05)  # until the event loop has let go of closed connections and of their contexts
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing).__name__ == "Turn"]
