"""The rules of the house: what may know what, and what `import ragmeter` may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ragmeter

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "ragmeter"
STAIRS = [
    "unit", "id", "calendar", "error", "health", "name", "tokens", "usage", "door", "provider", "call", "stream", "run",
    "ledger", "quota", "delivery", "meter",
]  # fmt: skip
"""Rooms of the Rust core from the ground up; none uses one above it."""

FLOORS = [
    "meter", "bounded", "quantity", "arrival", "witness", "context", "tokens", "prices", "ledger", "export", "observe",
    "quota", "launch", "lightrag", "ragflow", "tenants", "api", "commands", "cli",
]  # fmt: skip
"""The same of Python: rooms, and the pages that belong to several of them."""

STAND_APART = ["testing", "later", "__init__", "__main__"]
"""A second opinion, which knows nothing of ragmeter's; and the doors of the package itself."""


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree, *, top_level_only):
    """Names of the modules that are imported, without those for type checkers only."""
    found, todo = set(), list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"ragmeter.{alias.name}" for alias in node.names} if node.module == "ragmeter" else {node.module}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif not (top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.excepthandler))]
    return found


WEB = PACKAGE / "api"
"""FastAPI from top to bottom, for whoever starts the server; nobody else imports it."""


@pytest.mark.parametrize("path", [path for path in modules() if WEB not in path.parents], ids=name_of)
def test_third_party_packages_are_imported_inside_functions_only(path):
    found = imports(ast.parse(path.read_text()), top_level_only=True)
    assert {name.split(".")[0] for name in found} <= set(sys.stdlib_module_names) | {"ragmeter"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "observe").glob("*.py")), ids=name_of)
def test_no_observer_knows_another(path):
    rooms = ("bedrock", "content", "estimate", "exchange", "failure", "patch", "stainless", "tap", "watch", "zhipu")
    shared = {f"ragmeter.observe.{name}" for name in rooms}
    found = {name for name in imports(ast.parse(path.read_text()), top_level_only=False) if "ragmeter.observe" in name}
    assert found <= shared


@pytest.mark.parametrize(("room", "other"), [("lightrag", "ragflow"), ("ragflow", "lightrag")])
def test_the_doors_do_not_know_each_other(room, other):
    for path in (PACKAGE / room).rglob("*.py"):
        found = imports(ast.parse(path.read_text()), top_level_only=False)
        assert not [name for name in found if name.startswith(f"ragmeter.{other}")]


@pytest.mark.parametrize("path", [path for path in modules() if WEB not in path.parents], ids=name_of)
def test_the_web_application_is_imported_by_nobody_at_the_top(path):
    found = imports(ast.parse(path.read_text()), top_level_only=True)
    assert not [name for name in found if name.startswith("ragmeter.api")]


def test_every_page_of_the_root_has_its_floor():
    pages = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert pages == {*FLOORS, *STAND_APART}


@pytest.mark.parametrize(("level", "room"), list(enumerate(FLOORS)), ids=FLOORS)
def test_no_floor_of_python_knows_one_above_it(level, room):
    above = {f"ragmeter.{name}" for name in FLOORS[level + 1 :]}
    if room == "ledger":
        above.remove("ragmeter.export")  # a ledger that is opened sees to it that what waits in its outbox is sent
    for path in [PACKAGE / f"{room}.py", *(PACKAGE / room).rglob("*.py")]:
        if path.exists():
            found = imports(ast.parse(path.read_text()), top_level_only=False)
            assert not {".".join(name.split(".")[:2]) for name in found} & above, path


def test_only_the_counter_window_knows_python():
    for path in (ROOT / "src").rglob("*.rs"):
        if ROOT / "src" / "py" not in path.parents:
            assert "pyo3::" not in path.read_text(), path


def test_no_stair_leads_back_up():
    for level, room in enumerate(STAIRS):
        paths = [ROOT / "src" / f"{room}.rs", *(ROOT / "src" / room).rglob("*.rs")]
        code = "\n".join(path.read_text() for path in paths if path.exists())
        assert code, room
        for above in STAIRS[level + 1 :]:
            assert f"crate::{above}::" not in code, f"{room} uses {above}"


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout


def test_import_pulls_in_nothing_but_the_standard_library():
    # What site-packages loads by itself at start-up (editable installs, coverage) is not ours.
    code = "import sys; before = set(sys.modules); import ragmeter; print('\\n'.join(set(sys.modules) - before))"
    loaded = {name.split(".")[0] for name in run_python(code).split()}
    assert loaded <= set(sys.stdlib_module_names) | {"ragmeter"}
    for heavy in (
        "asyncio",
        "http",
        "logging",
        "typing",
        "ragmeter.ledger",
        "ragmeter.quota",
        "ragmeter.testing",
        "ragmeter.api",
        "ragmeter.tenants",
        "ragmeter.lightrag",
        "ragmeter.commands",
    ):
        assert heavy not in run_python(code).split()


def test_every_public_name_is_there_and_documented():
    for name in ragmeter.__all__:
        assert getattr(ragmeter, name).__doc__, name
    assert sorted(ragmeter.__all__) == ragmeter.__all__
    assert len((PACKAGE / "__init__.py").read_text().splitlines()) <= 60
