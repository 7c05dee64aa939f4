"""`ragmeter run -- command`: start a server with ragmeter in it, without a change to the server.

The command and every Python that it starts hear of the host's modules as they are imported, and meter the host.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from importlib.machinery import ModuleSpec

__all__ = ["HOSTS", "add_arguments", "begin", "refuse", "run"]

HOSTS = {
    **dict.fromkeys(("agent", "api", "common", "rag"), "ragmeter.ragflow.arrive"),
    "lightrag": "ragmeter.lightrag.arrive",
}
"""Packages of a host, any of which may be imported first: our module, whose `arrive(runs=…)` says whether it is that
host and meters it."""

_VARIABLE = "RAGMETER_RUN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ragmeter run`."""
    parser.add_argument("--names-only", action="store_true", help="replace the token functions, do not follow runs")
    parser.add_argument("--strict", action="store_true", help="end the server if its release does not fit")
    parser.add_argument("program", nargs="...", metavar="-- program", help="the server, as it is started otherwise")


def run(arguments: argparse.Namespace) -> int:
    """Run the program with ragmeter in it and return its exit code."""
    program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not program:
        sys.stderr.write("ragmeter run: name the program, as in: ragmeter run -- lightrag-server\n")
        return 2
    boot = str(Path(__file__).with_name("boot"))
    path = [boot, *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {"runs": not arguments.names_only, "strict": arguments.strict}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), _VARIABLE: json.dumps(options)}
    try:
        if os.name == "posix":
            os.execvpe(program[0], program, environment)  # noqa: S606 - what the user asked for; signals reach it itself
        return subprocess.run(program, env=environment, check=False).returncode  # noqa: S603
    except FileNotFoundError:
        sys.stderr.write(f"ragmeter run: there is no program '{program[0]}'\n")
        return 127


def begin() -> None:
    """Wait for a host, in a process that `ragmeter run` has started."""
    options = os.environ.get(_VARIABLE)
    if options:
        sys.meta_path.insert(0, _Watch(json.loads(options)))


class _Watch:
    """Sees the first module of a host being looked for; finds nothing itself. Cheap, for processes without a host."""

    def __init__(self, options: dict[str, bool]) -> None:
        self._options = {name: value for name, value in options.items() if name != "strict"}
        self._waiting = dict(HOSTS)

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        page = self._waiting.pop(fullname, None)
        if page is not None:
            self._arrive(page)
        return None

    def _arrive(self, page: str) -> None:
        try:
            importlib.import_module(page).arrive(**self._options)
        except Exception as exc:  # noqa: BLE001 - the server must start, metered or not
            self._waiting.clear()
            refuse(exc)


def refuse(exc: Exception) -> None:
    """Say that this server is not metered and why; where metering is a condition, end it."""
    sys.stderr.write(f"\n*** ragmeter: THIS SERVER IS NOT METERED. {exc}\n\n")
    if json.loads(os.environ.get(_VARIABLE) or "{}").get("strict"):
        sys.stderr.flush()
        os._exit(3)
