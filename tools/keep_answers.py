"""Pytest plugin: keeps what HTTP answers and errors say, for `tools/key_search` to look through.

They go to the folder RAGMETER_KEEP_ANSWERS. Errors are kept without their tracebacks: these show lines of the tests,
and keys in them.
"""

import functools
import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ["RAGMETER_KEEP_ANSWERS"])


def keep(name, *texts):
    with (FOLDER / name).open("ab") as file:
        for text in texts:
            file.write((text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")) + b"\n")


def chain(exc):
    while exc is not None:
        yield from (str(exc), repr(exc))
        exc = exc.__cause__ or exc.__context__


def pytest_configure():
    from starlette.testclient import TestClient

    FOLDER.mkdir(parents=True, exist_ok=True)
    request, left = TestClient.request, pytest.RaisesExc.__exit__

    @functools.wraps(request)
    def kept_request(self, *args, **kwargs):
        answer = request(self, *args, **kwargs)
        keep("answers", repr(answer.headers), answer.content)
        return answer

    @functools.wraps(left)
    def kept_error(self, kind, exc, trace):
        keep("errors", *chain(exc))
        return left(self, kind, exc, trace)

    TestClient.request, pytest.RaisesExc.__exit__ = kept_request, kept_error
