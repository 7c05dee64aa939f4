"""Write data/*.bpe from the `.tiktoken` files that OpenAI publishes.

    python tools/vocabularies.py FILE…

A FILE is a `.tiktoken` file, plain or gzipped, or a wheel or zip that holds some. What a file is, is told by its
sha256, which must be one of those that tiktoken 0.14.0 (`tiktoken_ext/openai_public.py`) insists on.

A token of more than one byte is the merge of two older ones, and BPE below its own rank finds exactly those two; so
a vocabulary is a list of pairs. Layout of a `.bpe` file: the byte of each of the ids 0 to 255, then for each id from
256 on the left and the right id as three bytes each, least significant first; ff ff ff twice is an id without a token.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHA256 = {
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": "cl100k_base",
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": "o200k_base",
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": "p50k_base",
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": "r50k_base",
}
DATA = Path(__file__).parent.parent / "data"
HOLE = b"\xff" * 6


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        for content in contents(path):
            if name := SHA256.get(hashlib.sha256(content).hexdigest()):
                write(name, content)


def contents(path: Path) -> Iterator[bytes]:
    members = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [archive.read(member) for member in archive.infolist() if member.file_size > 100_000]
    for member in members:
        yield gzip.decompress(member) if member.startswith(b"\x1f\x8b") else member


def write(name: str, content: bytes) -> None:
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, content.splitlines())}
    tokens = {rank: token for token, rank in ranks.items()}
    if name == "p50k_base":
        r50k = b"".join(line + b"\n" for line in content.splitlines() if int(line.split()[1]) < 50256)
        if SHA256.get(hashlib.sha256(r50k).hexdigest()) != "r50k_base":
            raise SystemExit("the first 50256 tokens of p50k_base are not r50k_base")
    packed = bytearray(tokens[rank][0] for rank in range(256))
    for rank in range(256, max(tokens) + 1):
        if token := tokens.get(rank):
            left, right = split(token, ranks)
            packed += left.to_bytes(3, "little") + right.to_bytes(3, "little")
        else:
            packed += HOLE
    target = DATA / f"{name}.bpe"
    target.write_bytes(packed)
    print(f"{target.name}: {len(tokens)} tokens, {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


def split(token: bytes, ranks: dict[bytes, int]) -> tuple[int, int]:
    """Run BPE with the ranks below the token's own; two parts must be left."""
    limit = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    while True:
        best, at = limit, None
        for i in range(len(parts) - 1):
            if (rank := ranks.get(parts[i] + parts[i + 1], limit)) < best:
                best, at = rank, i
        if at is None:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    if len(parts) != 2:
        raise SystemExit(f"token {limit} ({token!r}) is not a merge of two")
    return ranks[parts[0]], ranks[parts[1]]


if __name__ == "__main__":
    main()
