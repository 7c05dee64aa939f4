"""The Python in the documentation runs, and so do the examples in docstrings."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import ragmeter

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks():
    """Blocks that can run by themselves: no placeholder, nothing awaited."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            if "…" not in match[1] and "await " not in match[1] and "import" in match[1]:
                yield pytest.param(match[1], id=f"{page.stem}-{number}")


@pytest.mark.parametrize("code", list(blocks()))
def test_the_code_of_a_page_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "documentation", "exec"), {"__name__": "documentation"})
    assert ragmeter.current_scope() is None
    for ledger in list(ragmeter.ledger.ledger._open):
        ledger.close()


@pytest.mark.parametrize(
    "name",
    [
        "ragmeter.context",
        "ragmeter.ledger.ledger",
        "ragmeter.lightrag.tracker",
        "ragmeter.prices.prices",
        "ragmeter.quota.quota",
        "ragmeter.ragflow.names",
        "ragmeter.tenants.service",
    ],
)
def test_the_examples_of_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
