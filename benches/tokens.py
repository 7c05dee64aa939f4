"""Time the token counters beside tiktoken and the fastest packages of PyPI, in one process, by turns.

    python benches/tokens.py [--texts FOLDER] [--quick]

FOLDER holds NAME.txt for each kind of text, best some megabytes; without it there are only English and code from the
standard library, and what is generated. Numbers are the best of some rounds; read the ratios. `make bench`
brings the peers.
"""

import argparse
import base64
import gc
import hashlib
import importlib.metadata
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import parity

from ragmeter.tokens import count_tokens_batch, get_encoding

CHUNK = 4096
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--encodings", default="o200k_base,cl100k_base")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no peers")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    tiktoken = parity.oracle(folder)
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors")
    names = ["ragmeter", "tiktoken", "gigatoken", "fastokens", "quicktok-v1"]
    print(", ".join(f"{name} {version(name)}" for name in names))
    texts = natural(args.texts)
    rounds = 2 if args.quick else ROUNDS
    for name in args.encodings.split(","):
        counters = {"ragmeter": get_encoding(name).count}
        oracle = tiktoken.get_encoding(name)
        counters["tiktoken"] = lambda text, encode=oracle.encode_ordinary: len(encode(text))
        counters |= {} if args.quick else peers(name, folder)
        for kind, text in {**texts, **generated()}.items():
            fresh(name, kind, text, counters, rounds)
        for kind, text in {**texts, **generated()}.items():
            for size, number in ((100, 1000), (1000, 300), (10_000, 60)):
                warm(f"{name}: {kind}, {number} of {size} B", cut(text, size, number), counters, rounds)
        hostile(name, texts["english"], counters, rounds)
        limits(name, texts["english"], oracle, rounds)
        batch(name, texts["english"], counters, rounds)
    first_use(args.encodings.split(","))


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def natural(folder: Path | None) -> dict[str, str]:
    if folder:
        return {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.txt"))}
    from pydoc_data.topics import topics

    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    code = [path.read_text(errors="replace") for path in files if not {"test", "site-packages"} & set(path.parts)]
    prose = [*topics.values(), *(found.group(1) for text in code for found in DOCSTRING.finditer(text))]
    return {"english": "\n".join(dict.fromkeys(prose)), "code": "".join(code)[:8_000_000]}


def generated() -> dict[str, str]:
    pick = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(pick.choices(letters, k=pick.randint(2, 10))) for _ in range(150_000)]
    records = (
        {
            "id": f"{pick.getrandbits(64):016x}",
            "created": pick.randrange(10**9, 2 * 10**9),
            "model": pick.choice(["gpt-4o", "text-embedding-3-small", "o3-mini"]),
            "usage": {"prompt_tokens": pick.randrange(9000), "completion_tokens": pick.randrange(900)},
            "tags": pick.choices(["chunk", "entity", "relation", "summary", "query"], k=3),
            "score": pick.random(),
        }
        for _ in range(15_000)
    )
    return {
        "records in JSON": "\n".join(map(json.dumps, records)),
        "random words": " ".join(words),
        "base64": base64.b64encode(pick.randbytes(750_000)).decode(),
    }


def cut(text: str, size: int, number: int) -> list[str]:
    data = text.encode()
    step = max(size, len(data) // number)
    return [part for at in range(0, step * number, step) if (part := data[at : at + size].decode(errors="ignore"))]


def rate(count, chunks: list[str]) -> float:
    size = sum(len(chunk.encode()) for chunk in chunks)
    # Processor time of this thread: what others run on the machine then counts less.
    started = time.thread_time()
    for chunk in chunks:
        count(chunk)
    return size / (time.thread_time() - started) / 1e6


def show(label: str, rates: dict[str, float]) -> None:
    ratio = rates["ragmeter"] / rates["tiktoken"] if rates["tiktoken"] else float("inf")
    listed = "  ".join(f"{name} {value:.0f}" if value >= 20 else f"{name} {value:.1f}" for name, value in rates.items())
    peer = max((value for name, value in rates.items() if name not in ("ragmeter", "tiktoken")), default=0)
    beside = f"  {rates['ragmeter'] / peer:.1f}x the fastest other" if peer else ""
    print(f"{label}: {ratio:.1f}x tiktoken{beside}  (MB/s: {listed})", flush=True)


def fresh(encoding: str, kind: str, text: str, counters, rounds: int) -> None:
    """Chunks that nobody has seen: each round takes the next ones, each counter the same."""
    chunks = cut(text, CHUNK, len(text.encode()) // CHUNK)
    share = len(chunks) // rounds
    rates = {name: [] for name in counters}
    for number in range(rounds):
        part = chunks[number * share : (number + 1) * share]
        for name, count in counters.items():
            # tiktoken remembers nothing, so some of the chunks say it all. Each counter has strings of its own: who
            # reads one first pays for its UTF-8, which CPython keeps.
            own = [chunk.encode().decode() for chunk in (part[:80] if name == "tiktoken" else part)]
            rates[name].append(rate(count, own))
    show(f"{encoding}: {kind}, fresh 4 KB chunks", {name: statistics.median(values) for name, values in rates.items()})


def warm(label: str, chunks: list[str], counters, rounds: int) -> None:
    rates = dict.fromkeys(counters, 0.0)
    for number in range(rounds + 1):
        for name, count in counters.items():
            if name != "tiktoken" or number < 3:
                rates[name] = max(rates[name], rate(count, chunks))
    show(label, rates)


def hostile(encoding: str, prose: str, counters, rounds: int) -> None:
    pick, size = random.Random(3), 1_000_000
    texts = {
        "one letter": "a" * size,
        "one rare letter": "Ӟ" * (size // 2),
        "one vowel sign": "ि" * (size // 3),
        "dashes": "-" * size,
        "spaces": " " * size,
        "newlines": "\n" * size,
        "digits": "".join(pick.choices("0123456789", k=size)),
        "base64": base64.b64encode(pick.randbytes(size * 3 // 4)).decode(),
        "combining marks": "\u0301" * (size // 2),
    }
    count = counters["ragmeter"]
    best = max(rate(count, [prose[:size]]) for _ in range(rounds))
    for kind, text in texts.items():
        slower = best / max(rate(count, [text]) for _ in range(rounds))
        print(f"{encoding}: 1 MB of {kind}: {slower:.1f} times as long as prose", flush=True)


def timed(call, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def limits(encoding: str, prose: str, oracle, rounds: int) -> None:
    ours, text = get_encoding(encoding), prose[:1_000_000]
    theirs = timed(lambda: oracle.decode(oracle.encode_ordinary(text)[:500]), 3)
    for name, call in (
        ("truncate", lambda: ours.truncate(text, 500)),
        ("count_until", lambda: ours.count_until(text, 500)),
    ):
        seconds = timed(call, rounds * 10)
        print(f"{encoding}: {name} 1 MB at 500 tokens: {theirs / seconds:.0f}x tiktoken ({seconds * 1e6:.0f} us)")


def batch(encoding: str, prose: str, counters, rounds: int) -> None:
    data = prose.encode()
    # All different; where there is less prose than that they overlap.
    starts = range(0, len(data) - 1000, len(data) // 10_500)[:10_000]
    chunks = [data[at : at + 1000].decode(errors="ignore") for at in starts]
    alone = timed(lambda: get_encoding(encoding).count_batch(chunks, threads=1), rounds)
    parallel = timed(lambda: count_tokens_batch(chunks, encoding=encoding), rounds)
    loop = timed(lambda: [counters["ragmeter"](chunk) for chunk in chunks], rounds)
    ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.0005):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    started, before = time.perf_counter(), ticks
    for _ in range(10):
        count_tokens_batch(chunks, encoding=encoding)
    seconds, ran = time.perf_counter() - started, ticks - before
    done.set()
    thread.join()
    print(
        f"{encoding}: {len(chunks)} chunks of 1 KB: all processors {alone / parallel:.2f}x one thread, "
        f"{loop / parallel:.2f}x a loop; another Python thread woke {ran / seconds:.0f} times a second meanwhile"
    )


def starting(program: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", program], check=True), ROUNDS)


def first_use(encodings: list[str]) -> None:
    programs = {
        "nothing": "pass",
        "ragmeter": "from ragmeter.tokens import get_encoding; get_encoding({!r}).count('hello world')",
        "tiktoken": "import tiktoken; len(tiktoken.get_encoding({!r}).encode_ordinary('hello world'))",
    }
    memory = (
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "from ragmeter.tokens import get_encoding\nbefore = rss()\nencoding = get_encoding({!r})\n"
        "from pydoc_data import topics\n"
        "for text in open(topics.__file__, errors='replace'): encoding.count(text + '中文')\n"
        "encoding.count('a' * 1000)\nprint(rss() - before)"
    )
    for name in encodings:
        seconds = {
            package: starting(program.format(name)) for package, program in {"nothing": "pass", **programs}.items()
        }
        bare = seconds["nothing"]
        net = {package: value - bare for package, value in seconds.items()}
        print(
            f"{name}: first count in a fresh process: {net['ragmeter'] * 1e3:.0f} ms, "
            f"{net['tiktoken'] / net['ragmeter']:.1f}x sooner than tiktoken ({net['tiktoken'] * 1e3:.0f} ms); "
            f"with the interpreter's own {bare * 1e3:.0f} ms {seconds['tiktoken'] / seconds['ragmeter']:.1f}x"
        )
        added = subprocess.run([sys.executable, "-c", memory.format(name)], check=True, capture_output=True, text=True)
        print(f"{name}: {float(added.stdout):.1f} MiB of memory added by the first counts")


def peers(encoding: str, folder: Path):
    """The packages that are installed, each with its way to count."""
    found = {}
    vocabulary = folder / f"{encoding}.tiktoken"
    vocabulary.write_bytes((folder / hashlib.sha1(parity.URL.format(encoding).encode()).hexdigest()).read_bytes())
    try:
        import gigatoken

        giga = gigatoken.Tokenizer.from_tiktoken(str(vocabulary))
        found["gigatoken"] = lambda text: len(giga.encode(text))
    except ImportError:
        pass
    try:
        import fastokens

        fast = fastokens.Tokenizer.from_tiktoken(str(vocabulary), encoding=encoding)
        found["fastokens"] = lambda text: len(fast.encode_ordinary(text))
    except (ImportError, AttributeError):
        pass
    try:
        import quicktok

        found["quicktok"] = quicktok.get_encoding(encoding).count
    except ImportError:
        pass
    gc.collect()
    return found


if __name__ == "__main__":
    main()
