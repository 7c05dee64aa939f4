"""`ragmeter run -- command`: start a server with ragmeter in it, without a change to the server.

The command and every Python that it starts hear of the host's modules as they are imported, and meter the host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ragmeter.launch import VARIABLE

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


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
    boot = str(Path(__file__).parents[1] / "boot")
    path = [boot, *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {"runs": not arguments.names_only, "strict": arguments.strict}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), VARIABLE: json.dumps(options)}
    try:
        if os.name == "posix":
            os.execvpe(program[0], program, environment)  # noqa: S606 - what the user asked for; signals reach it itself
        return subprocess.run(program, env=environment, check=False).returncode  # noqa: S603
    except FileNotFoundError:
        sys.stderr.write(f"ragmeter run: there is no program '{program[0]}'\n")
        return 127
