"""How much faster RAGFlow's token functions are in ragmeter than as RAGFlow has them, side by side in one process.

    python benches/ragflow.py

Needs tiktoken and openai; litellm is measured where it is installed. Every row times both sides in turns and keeps the
best of each, so that what else the machine does hits both alike. Exit code 1 if a row misses its bar.
"""

import base64
import functools
import hashlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "ragflow"))

import reference
import tiktoken
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ragmeter import ragflow, testing
from ragmeter.tokens import get_encoding

USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
ROUNDS = 25


def best(statement, names, number):
    return timeit.Timer(statement, globals=names).timeit(number) / number * 1e9


def side_by_side(original, native, arguments, number, rounds):
    statement = f"f({', '.join(f'a[{at}]' for at in range(len(arguments)))})" if len(arguments) == 1 else "f(*a)"
    if arguments == (12, 3, 15):
        statement = "f(12, 3, 15)"
    times = [
        (
            best(statement, {"f": original, "a": arguments}, number),
            best(statement, {"f": native, "a": arguments}, number),
        )
        for _ in range(rounds)
    ]
    return min(a for a, _ in times), min(b for _, b in times)


def fresh():
    return {"prompt_tokens": 100_000, "completion_tokens": 100_000, "total_tokens": 200_000, "calls": 10}


def completion():
    message = {"role": "assistant", "content": "Paris."}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5", "choices": choices, "usage": USAGE}
    return ChatCompletion.construct(**body)


def chunk():
    choices = [{"index": 0, "finish_reason": None, "delta": {"content": "Par"}}]
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5", "choices": choices}
    return ChatCompletionChunk.construct(**body)


def embedding():
    data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
    usage = {"prompt_tokens": 1200, "total_tokens": 1200}
    return CreateEmbeddingResponse.construct(object="list", model="e", data=data, usage=usage)


def litellm_chunk():
    from litellm.types.utils import ModelResponseStream

    return ModelResponseStream(choices=[{"index": 0, "delta": {"content": "Par"}}])


def rows():
    """Name, original, native, arguments, how many times faster it must be (None: no bar), calls a round."""
    record, original_record, counts = ragflow.record_run_token_usage, reference.record, (12, 3, 15)
    yield "record, no sink (at most 20 ns more)", original_record, record, counts, -20, 20000
    ragflow.token_usage_sink.set(fresh())
    reference.sink_variable.set(fresh())
    yield "record, dict sink", original_record, record, counts, 4, 20000
    # Four ints are made and put into the dict, whoever does it: the row below is the ceiling of the one above.
    if (bare := bare_c()) is not None:
        bare.sink_variable.set(fresh())
        yield "the same in bare C, unchecked", original_record, bare.record, counts, None, 20000
    ragflow.token_usage_sink.set(ragflow.new_sink())
    yield "record, native sink", original_record, record, counts, 8, 20000
    ragflow.token_usage_sink.set(None)
    reference.sink_variable.set(None)

    answers = [
        ("ChatCompletion", completion(), 3.5, None),
        ("CreateEmbeddingResponse", embedding(), 10, None),
        ("ChatCompletionChunk, usage None", chunk(), None, 20),
        ("dict", {"id": "c", "usage": USAGE}, None, None),
    ]
    if importlib.util.find_spec("litellm"):
        answers.append(("litellm chunk", litellm_chunk(), 10, 20))
    for name, answer, bar, _ in answers:
        yield (
            f"usage_from_response, {name}",
            reference.usage_from_response,
            ragflow.usage_from_response,
            (answer,),
            bar,
            3000,
        )
    for name, answer, _, bar in answers:
        original, native = reference.total_token_count, ragflow.total_token_count_from_response
        yield f"total_token_count_from_response, {name}", original, native, (answer,), bar, 3000

    encoder = offline_tiktoken()
    for name, text in texts().items():
        original = functools.partial(reference.truncate, encoder)
        yield f"truncate 1 MB to 500 tokens, {name}", original, ragflow.truncate, (text, 500), 500, 5
        original = functools.partial(reference.num_tokens, encoder)
        yield (
            f"num_tokens_from_string 10 KB, {name}",
            original,
            ragflow.num_tokens_from_string,
            (text[:10_000],),
            None,
            100,
        )


def bare_c():
    """The module of `bare.c`, built for this Python; None where that cannot be done."""
    library = Path(os.environ["TIKTOKEN_CACHE_DIR"], "bare.so")
    source, headers = Path(__file__).with_name("bare.c"), sysconfig.get_path("include")
    command = ["cc", "-O2", "-shared", "-fPIC", f"-I{headers}", str(source), "-o", str(library)]
    if shutil.which("cc") is None or subprocess.run(command, check=False).returncode:
        return None
    spec = importlib.util.spec_from_file_location("bare", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts():
    """A megabyte of prose in two scripts."""
    book = (Path(testing.__file__).parent / "documents" / "alice-in-wonderland.txt").read_text(encoding="utf-8")
    return {
        "English": (book * 200)[:1_000_000],
        "Chinese": ("检索增强生成把文档切成小块，然后根据找到的内容回答用户的问题。" * 20000)[:333_000],
    }


def offline_tiktoken():
    """tiktoken's own encoder, from a file made of the vocabulary that ragmeter carries."""
    native = get_encoding("cl100k_base")
    lines = [base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(native.token_byte_values())]
    url = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    Path(os.environ["TIKTOKEN_CACHE_DIR"], hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"".join(lines))
    return tiktoken.get_encoding("cl100k_base")


IMPORT = """
import sys, time
start = time.perf_counter()
{code}
took = time.perf_counter() - start
memory = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(took * 1000, int(memory[0].split()[1]) / 1024)
"""


def import_cost(code):
    runs = []
    for _ in range(7):
        out = subprocess.run(
            [sys.executable, "-c", IMPORT.format(code=code)], capture_output=True, text=True, check=True
        )
        runs.append([float(number) for number in out.stdout.split()])
    return min(ms for ms, _ in runs), statistics.median(mib for _, mib in runs)


def main():
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, ns per call\n")
    print(f"{'':58}{'original':>12}{'ragmeter':>12}{'times':>9}{'bar':>8}")
    failed = False
    for name, original, native, arguments, bar, number in rows():
        a, b = side_by_side(original, native, arguments, number, 5 if number < 10 else ROUNDS)
        met = True if bar is None else b - a <= -bar if bar < 0 else a / b >= bar
        failed |= not met
        wanted = "" if bar is None else f"+{-bar} ns" if bar < 0 else f"{bar}x"
        print(f"{name:58}{a:12,.0f}{b:12,.0f}{a / b:9.1f}{wanted:>8}{'' if met else '  missed'}")
    original = (
        "import contextvars, hashlib, logging, os, shutil, threading, tiktoken; tiktoken.get_encoding('cl100k_base')"
    )
    (a, a_mib), (b, b_mib) = import_cost(original), import_cost("import ragmeter.ragflow")
    failed |= a / b < 4 or b_mib >= a_mib
    print(f"{'import, ms':58}{a:12,.0f}{b:12,.0f}{a / b:9.1f}{'4x':>8}{'' if a / b >= 4 else '  missed'}")
    print(f"{'memory after it, MiB':58}{a_mib:12,.0f}{b_mib:12,.0f}{a_mib / b_mib:9.1f}{'less':>8}")
    return int(failed)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        sys.exit(main())
