"""`ragmeter count`: tokens of files, exact and offline."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from ragmeter.tokens import HuggingFaceEncoding, get_encoding, list_encoding_names, load_tokenizer_json, resolve_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ragmeter.tokens import Encoding

# Folders whose files nobody means.
SKIPPED = {".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules"}
# A file with this byte near its start is no text.
NUL, START = b"\0", 8192
STDIN = "-"
# Bytes after which the progress bar moves.
STEP = 1 << 20
BAR = 30


class Counted(NamedTuple):
    """A file and what it holds."""

    path: str
    tokens: int
    characters: int
    size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("paths", nargs="*", metavar="FILE", help="files and folders; - or none is standard input")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="count as this model does; an estimate if its tokenizer is not public")
    which.add_argument("--encoding", choices=list_encoding_names(), help="count in this encoding")
    which.add_argument("--tokenizer", metavar="FILE", help="count with this tokenizer.json of Hugging Face")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--all", action="store_true", help="count files that are not text, too")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Count, print, and return the exit status: 1 if a file could not be read."""
    try:
        encoding, exact = _encoding(args)
    except (OSError, ValueError, ImportError) as error:
        print(f"ragmeter count: {error}", file=sys.stderr)
        return 2
    failures: list[str] = []
    wanted = args.paths or [STDIN]
    paths = [path for name in wanted for path in _files(name)]
    sizes = {path: _size(path) for path in paths}
    counted = []
    with _Progress(sum(sizes.values()), shown=not args.no_progress and sys.stderr.isatty()) as progress:
        for path in paths:
            try:
                content = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
            except OSError as error:
                failures.append(f"{path}: {error.strerror or error}")
                continue
            finally:
                progress.add(sizes[path])
            if NUL in content[:START] and not args.all and path not in wanted:
                continue
            text = content.decode("utf-8", "replace")
            counted.append(Counted(path, encoding.count(text), len(text), len(content)))
    _print(counted, encoding.name, exact=exact, as_json=args.json)
    for failure in failures:
        print(f"ragmeter count: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _encoding(args: argparse.Namespace) -> tuple[Encoding | HuggingFaceEncoding, bool]:
    if args.tokenizer:
        return load_tokenizer_json(args.tokenizer), True
    if args.encoding:
        return get_encoding(args.encoding), True
    name, exact = resolve_model(args.model or "gpt-4o")
    return get_encoding(name), exact


def _files(name: str) -> Iterator[str]:
    if name == STDIN or not Path(name).is_dir():
        yield name
        return
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(folder for folder in folders if folder not in SKIPPED)
        yield from (os.path.join(folder, file) for file in sorted(files))  # noqa: PTH118, os.walk gives strings


def _size(path: str) -> int:
    try:
        return 0 if path == STDIN else Path(path).stat().st_size
    except OSError:
        return 0


def _print(counted: list[Counted], encoding: str, *, exact: bool, as_json: bool) -> None:
    total = (
        Counted("total", *(sum(numbers) for numbers in zip(*(file[1:] for file in counted), strict=True)))
        if counted
        else Counted("total", 0, 0, 0)
    )
    basis = "exact" if exact else "estimated"
    if as_json:
        files = [
            {"path": file.path, "tokens": file.tokens, "characters": file.characters, "bytes": file.size}
            for file in counted
        ]
        result: dict[str, object] = {"encoding": encoding, "basis": basis, "files": files}
        result |= {"total": {"tokens": total.tokens, "characters": total.characters, "bytes": total.size}}
        print(json.dumps(result, ensure_ascii=False))
        return
    rows = counted if len(counted) == 1 else [*counted, total]
    width = len(str(total.tokens))
    for row in rows:
        print(f"{row.tokens:>{width}}  {row.path}")
    if not exact:
        print(f"estimated with {encoding}: the tokenizer of this model is not public", file=sys.stderr)


class _Progress:
    """A bar on standard error, drawn only where somebody sees it."""

    def __init__(self, total: int, *, shown: bool, stream: TextIO | None = None) -> None:
        self.total, self.done, self.drawn = total, 0, 0
        self.stream = (stream or sys.stderr) if shown and total > STEP else None

    def __enter__(self) -> _Progress:
        return self

    def add(self, size: int) -> None:
        self.done += size
        if self.stream and self.done - self.drawn >= min(STEP, self.total):
            self.drawn = self.done
            share = self.done / self.total
            self.stream.write(f"\r[{'#' * int(share * BAR):<{BAR}}] {share:4.0%}")
            self.stream.flush()

    def __exit__(self, *_: object) -> None:
        if self.stream:
            self.stream.write("\r" + " " * (BAR + 8) + "\r")
            self.stream.flush()
