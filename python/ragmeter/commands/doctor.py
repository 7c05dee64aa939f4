"""`ragmeter doctor`: which hooks fit what is installed here, whether calls are seen, and whether they can be kept.

Calls are seen if each real SDK, and a real LightRAG, talk to ragmeter's stub server and ragmeter counts what it billed.
Nothing leaves the machine but a look at the ledger, and nothing of it is written there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from ragmeter.commands.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from ragmeter._native import Run
    from ragmeter.testing import StubServer

__all__ = ["Finding", "add_arguments", "examine", "run"]

_SERVER = """
import sys
sys.argv = ["lightrag-server"]
from ragmeter.lightrag import instrument_server
instrument_server()
import lightrag.api.lightrag_server
"""


class Finding(NamedTuple):
    """What was looked at, how it is (`ok`, `absent` or `wrong`), and what there is to say about it."""

    what: str
    state: str
    says: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if something is wrong."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - where a checkout of RAGFlow is looked for
    findings = examine()
    if arguments.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        print(table(["what", "state", ""], [[what, state, says] for what, state, says in findings]))
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def examine() -> list[Finding]:
    """Look at everything."""
    from ragmeter.ledger import current_ledger

    mine = current_ledger()
    if mine is not None:
        mine.detach()  # what is tried out here belongs in no book
    logging.disable(logging.ERROR)
    try:
        return list(_findings())
    finally:
        logging.disable(logging.NOTSET)
        if mine is not None:
            mine.attach()


def _findings() -> Iterator[Finding]:
    version = importlib.metadata.version("ragmeter")
    yield Finding("ragmeter", "ok", f"{version}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    yield from _observers()
    yield _checked("LightRAG", "lightrag", _lightrag)
    yield _checked("LightRAG's server", "lightrag.api", _server)
    yield _ragflow()
    yield _ledger()
    yield _backend()


def _checked(what: str, module: str, check: Callable[[], str]) -> Finding:
    """Do a check where the module is installed; an error is what is wrong."""
    if not _is_installed(module):
        return Finding(what, "absent", "not installed")
    try:
        return Finding(what, "ok", check())
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what the user wants to know
        return Finding(what, "wrong", f"{_version(module)}: {exc or type(exc).__name__}")


def _is_installed(module: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def _version(module: str) -> str:
    names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    if module.replace(".", "-") in names:  # others share the folder
        names = [module.replace(".", "-")]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(names)) or module


def _observers() -> Iterator[Finding]:
    from ragmeter.observe import observers

    for name in observers():
        yield _checked(f"SDK {name}", name, functools.partial(_sdk, name))


def _sdk(name: str) -> str:
    from ragmeter import instrument, run, uninstrument
    from ragmeter.commands.trials import TRIALS
    from ragmeter.observe import instrumented
    from ragmeter.testing import StubServer

    on_before = name in instrumented()
    instrument(name)
    try:
        with StubServer() as server, run() as current:
            TRIALS[name](server.url)
            return f"{_version(name)}: {_seen(current, server)}"
    finally:
        if not on_before:
            uninstrument(name)


def _seen(current: Run, server: StubServer) -> str:
    """Say that the meter and the bill agree.

    Raises:
        RuntimeError: They do not.
    """
    billed, metered = server.totals(), current.totals
    tokens = billed.total_tokens + billed.embedding_tokens
    if (metered.calls, metered.usage.total_tokens) != (billed.calls, tokens) or metered.reported_calls != billed.calls:
        msg = (
            f"{metered.reported_calls} of {billed.calls} calls were seen, "
            f"{metered.usage.total_tokens or 0:,} of {tokens:,} tokens"
        )
        raise RuntimeError(msg)
    return f"{billed.calls} of {billed.calls} calls and {tokens:,} of {tokens:,} tokens are seen"


def _lightrag() -> str:
    from ragmeter.lightrag.families import family
    from ragmeter.testing import StubServer

    fitting = family()
    with StubServer() as server, tempfile.TemporaryDirectory(prefix="ragmeter-doctor-") as folder:
        current = asyncio.run(_insert_and_ask(folder, server))
        hooks = f"hooks of the family '{fitting.name}' ({fitting.releases}) fit"
        return f"{_version('lightrag')}: {hooks}, {_seen(current, server)}"


async def _insert_and_ask(folder: str, server: StubServer) -> Run:
    from lightrag import QueryParam

    from ragmeter import run
    from ragmeter.commands.demo import make_lightrag
    from ragmeter.lightrag import track_lightrag_operations

    rag = make_lightrag(folder, server.base_url, "any", server.dimensions)
    await rag.initialize_storages()
    with run() as current:
        async with track_lightrag_operations(rag) as tracked:
            await tracked.ainsert("Scrooge was the partner of Marley.", file_paths="doctor.txt")
            await tracked.aquery("Who was Scrooge's partner?", QueryParam(mode="mix", enable_rerank=False))
    await rag.finalize_storages()
    return current


def _server() -> str:
    # LightRAG's server reads the command line and .env when it is imported: in a process and a folder of its own.
    with tempfile.TemporaryDirectory(prefix="ragmeter-doctor-") as folder:
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", _SERVER], cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it cannot be imported"])[-1])
    return "can be metered: ragmeter run -- lightrag-server"


def _ragflow() -> Finding:
    from ragmeter import ragflow
    from ragmeter.ragflow.place import checkout

    place = checkout()
    if place is None:
        return Finding("RAGFlow", "absent", "not on the path; run this in its directory")
    if ragflow.installed():
        return Finding("RAGFlow", "ok", f"{place}: hooks are in place")

    def fits() -> str:
        ragflow.install(runs=True)
        ragflow.uninstall()
        return f"{place}: hooks fit"

    return _checked("RAGFlow", "common", fits)


def _ledger() -> Finding:
    from ragmeter.ledger import Ledger

    url = os.environ.get("RAGMETER_LEDGER")
    if not url:
        return Finding("ledger", "absent", "RAGMETER_LEDGER is not set: nothing is kept")
    try:
        with Ledger.open(url, attach=False) as ledger:
            began = time.perf_counter()
            rows = ledger.usage(since="24h")
            took = (time.perf_counter() - began) * 1000
            calls = sum(row["calls"] for row in rows)
            return Finding("ledger", "ok", f"{ledger.url}: {calls:,} calls in the last 24 hours, read in {took:.0f} ms")
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what the user wants to know
        return Finding("ledger", "wrong", str(exc))


def _backend() -> Finding:
    from ragmeter.export.webhook import destinations

    names = ", ".join(destinations())
    if not names:
        return Finding("backend", "absent", "none is configured: usage is not sent")
    if not os.environ.get("RAGMETER_LEDGER"):
        return Finding("backend", "wrong", f"{names}: usage is sent from a ledger, and RAGMETER_LEDGER is not set")
    return Finding("backend", "ok", names)
