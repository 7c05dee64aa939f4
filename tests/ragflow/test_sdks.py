"""Models whose requests an SDK's observer sees: counted once, whatever the token functions see too."""

import subprocess
import sys

import ollama

from .kit import chat, history

CLOSE = {"connection": "close"}  # nobody closes the client, here as there


def ollama_model(kit):
    """Asks through an SDK of its own, and hands the answers to the host's token functions too."""
    model, count = kit.model("Plain", "llama3"), kit.host.token_utils
    client = ollama.Client(kit.server.url, headers=CLOSE)

    def embed(texts):
        answer = client.embed(model="bge-m3", input=texts)
        return answer.embeddings, count.total_token_count_from_response(answer)

    def describe(image):
        answer = client.chat(model="llava", messages=history(f"What is on {image}?"))
        model.last_usage = count.usage_from_response(answer)
        return answer.message.content, 128

    model.encode, model.describe = embed, describe
    return model


async def test_what_an_observer_and_a_token_function_see_counts_once(kit):
    bundle = kit.bundle(ollama_model(kit), "llama3")

    def work(component):
        bundle.encode(["Marley was dead.", "To begin with."])
        bundle.describe("a door-knocker")

    await kit.run(work)
    kit.assert_exact()
    run = kit.runs[0]
    assert run.totals.reported_calls == 2
    assert set(run.by("operation", "model")) == {("embeddings", "bge-m3"), ("image2text", "llava")}


async def test_a_chat_with_a_model_that_sees_is_image2text(kit):
    for kind in ("vision", "image2text", ["chat", "vision"]):  # the last is what RAGFlow's catalog has
        bundle = kit.bundle()
        bundle.model_config["model_type"] = kind

        async def work(component, bundle=bundle):
            await chat(bundle)
            return bundle.async_chat_streamly_delta("Be brief.", history())

        await kit.run(work)
    counted = [{key: totals.calls for key, totals in run.by("operation").items()} for run in kit.runs]
    assert counted == [{"image2text": 2}, {"image2text": 2}, {"chat": 2}]


async def test_a_chat_with_a_model_that_sees_and_says_nothing_is_estimated_as_a_chat(kit):
    bundle = kit.bundle(kit.model("Plain"))
    bundle.model_config["model_type"] = "vision"
    bundle.mdl.asks = False

    async def work(component):
        return bundle.async_chat_streamly("Be brief.", history())

    await kit.run(work)
    (call,), (bill,) = kit.runs[0].calls_list(), kit.server.bills
    assert (call.labels["operation"], call.usage.origin) == ("image2text", "estimated")
    assert abs(call.usage.input_tokens - bill.prompt_tokens) <= 8


def test_sdks_are_observed_as_they_are_imported_and_let_go_of(host_path):
    code = """
import sys, ragmeter
from ragmeter import ragflow
ragmeter.instrument("ollama")
ragflow.install(runs=True)
assert ragmeter.instrumented() == {"ollama"} and "openai" not in sys.modules
import openai, zhipuai
assert ragmeter.instrumented() >= {"ollama", "openai", "zhipuai"}
ragflow.uninstall()
assert ragmeter.instrumented() == {"ollama"}, ragmeter.instrumented()
import anthropic
assert ragmeter.instrumented() == {"ollama"}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=host_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
