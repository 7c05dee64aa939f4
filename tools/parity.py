"""Compare every token with tiktoken's, on generated strings and on real text.

    python tools/parity.py [--strings N] [--encodings NAME,…] [--code-points] [FILE …]

The vocabularies of tiktoken are written from ragmeter's own; tiktoken checks their sha256.
"""

import argparse
import base64
import hashlib
import os
import runpy
import sys
import tempfile
import time
from pathlib import Path

from ragmeter.tokens import get_encoding

TESTS = Path(__file__).parent.parent / "tests" / "python" / "tokens" / "test_encoding.py"
URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
FILES = ["cl100k_base", "o200k_base", "p50k_base", "r50k_base"]
CHUNK = 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--encodings", default=",".join([*FILES, "p50k_edit", "o200k_harmony"]))
    parser.add_argument("--code-points", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    args = parser.parse_args()
    tiktoken = oracle(Path(tempfile.mkdtemp()))
    texts = runpy.run_path(str(TESTS))["texts"]
    different = 0
    for name in args.encodings.split(","):
        pair = get_encoding(name), tiktoken.get_encoding(name)
        started = time.perf_counter()
        sources = {f"{args.strings} strings": texts(args.seed, args.strings), "files": chunks(args.files)}
        if args.code_points:
            sources["code points"] = code_points()
        for source, strings in sources.items():
            number, size, tokens, wrong = compare(*pair, strings)
            different += wrong
            print(
                f"{name}: {source}: {number} texts, {size / 1e6:.1f} MB, {tokens} tokens, {wrong} different", flush=True
            )
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return 1 if different else 0


def compare(ours, theirs, strings):
    number = size = tokens = wrong = 0
    for text in strings:
        expected = theirs.encode_ordinary(text)
        number, size, tokens = number + 1, size + len(text.encode(errors="replace")), tokens + len(expected)
        if ours.encode_ordinary(text) != expected or ours.count(text) != len(expected):
            wrong += 1
            print("different:", ascii(text)[:500], file=sys.stderr)
    return number, size, tokens, wrong


def chunks(files):
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        # Of many lengths, so that the ends fall everywhere.
        at, length = 0, 1
        while at < len(text):
            yield text[at : at + length]
            at, length = at + length, length * 3 % CHUNK + 100


def code_points():
    for code in range(0x110000):
        yield f"a{chr(code)}b"
        yield f"X {chr(code)}'s{chr(code) * 2}1 {chr(code)}A\n{chr(code)}"


def oracle(folder: Path):
    for name in FILES:
        encoding = get_encoding(name)
        lines = []
        for token in range(encoding.max_token_value + 1):
            try:
                lines.append(base64.b64encode(encoding.decode_single_token_bytes(token)) + b" %d\n" % token)
            except KeyError:
                continue
            if encoding.is_special_token(token):
                lines.pop()
        (folder / hashlib.sha1(URL.format(name).encode()).hexdigest()).write_bytes(b"".join(lines))
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken

    return tiktoken


if __name__ == "__main__":
    sys.exit(main())
