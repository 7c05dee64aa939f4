"""Runs first in every Python that `ragmeter run` starts: meters the host that is imported, whichever it is.

This folder stands first on `PYTHONPATH` there. The `sitecustomize` that would have run without it runs too.
"""

import importlib
import sys
from pathlib import Path

_here = Path(__file__).parent


def _run_the_other() -> None:
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != _here.resolve()]
    mine = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")  # another file of the same name
    except ImportError:
        if mine is not None:
            sys.modules["sitecustomize"] = mine
    finally:
        sys.path[:] = path


_run_the_other()

try:
    from ragmeter.launch import begin
except ImportError as exc:  # another Python, which has no ragmeter
    sys.stderr.write(f"ragmeter: not metered, {sys.executable} has no ragmeter: {exc}\n")
else:
    begin()
